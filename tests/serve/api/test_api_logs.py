"""What the log says of requests over HTTP: their ids, and neither a key nor a question."""

import logging
from pathlib import Path

import pytest

from deployments.telemetry.logs import ids_of
from serve.pipelines.slow_questions import LogConfig
from serve.settings import Settings
from tests.contexts import TRACEPARENT
from tests.serve.api.api_samples import Clock, running
from tests.serve.test_live_services import serving

QUESTION = {"query": "How hot is the secret oven?"}


def fields_of(record: logging.LogRecord, *names: str) -> tuple[object, ...]:
    return tuple(getattr(record, name, None) for name in names)


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_the_access_log_has_the_route_the_status_and_the_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, Clock()) as service, service.http() as http:
        response = await http.post(
            "/v1/query", json=QUESTION, headers={"x-request-id": "req-7", "traceparent": TRACEPARENT}
        )

    (line,) = (record for record in caplog.records if record.name == "ragserve.access")
    assert response.headers.get_list("x-request-id") == ["req-7"]
    assert fields_of(line, "method", "route", "status") == ("POST", "/v1/query", 200)
    assert line.elapsed_s > 0
    assert "secret" not in caplog.text


async def test_a_wrong_model_name_is_one_line_at_info_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"model": "secret-model", "messages": [{"role": "user", "content": "Hello"}]}
    async with running(tmp_path, Clock()) as service, service.http() as http:
        response = await http.post("/v1/chat/completions", json=body)

    assert response.status_code == 404
    refusals = [record for record in caplog.records if record.name == "serve.api.errors"]
    assert [fields_of(line, "levelname", "code", "exc_info") for line in refusals] == [
        ("INFO", "model_not_found", None)
    ]
    assert "secret" not in caplog.text


@pytest.mark.parametrize("texts", [False, True])
async def test_a_slow_question_is_logged_with_its_stages(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, texts: bool
) -> None:
    settings = Settings(log=LogConfig(slow_question_s=0.0, texts=texts))
    async with serving(tmp_path, settings) as (_, http):
        await http.post("/v1/query", json=QUESTION)

    (line,) = (record for record in caplog.records if record.name == "ragserve.slow")
    assert line.levelname == "WARNING"
    assert {"embed", "dense", "lexical", "rerank", "generate", "total"} <= line.stages_s.keys()
    assert ("secret" in getattr(line, "question", "")) is texts
    assert "secret" not in line.getMessage()


async def test_a_quick_question_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, Settings(log=LogConfig(slow_question_s=3600))) as (live, http):
        live.configure({"log": {"slow_question_s": 3000}})
        await http.post("/v1/query", json=QUESTION)

    assert not [record for record in caplog.records if record.name == "ragserve.slow"]


def test_without_ids_a_line_has_none() -> None:
    assert ids_of([]) == {}
