"""The question log: opt-in, masked, in Parquet, kept for its time, and lost by no failure of its storage."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyarrow import parquet as pq
from pydantic import ValidationError

from models.errors.requests import InvalidRequestError
from models.generation.citations import Citation
from models.types.chunks import Passage
from models.types.generation import ChatMessage
from models.types.scope import Scope
from serve.pipelines.answering import Answered, Query
from serve.pipelines.trace import Trace
from serve.quality import question_log
from serve.quality.config import DAY_S, QuestionLogConfig
from serve.quality.log_files import LogFiles, Row, read_log
from serve.quality.question_log import QuestionLog
from serve.quality.watched_answering import WatchedAnswer
from serve.settings import Settings
from tests.serve.api.response_samples import serving

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
QUESTION = {"query": "How hot does the oven of anna@example.org get?"}


def answer(
    request_id: str, at_s: float = NOON, text: str = "To 250 degrees.", tenant: str = "default"
) -> WatchedAnswer:
    query = Query((ChatMessage("user", "How hot? Write to anna@example.org."),), Scope(tenant, ("default",)), 3)
    return WatchedAnswer(request_id, query, Answered("To 250 degrees.", (), (), "stop", 1, 2, Trace()), at_s)


def rows(folder: Path, tenant: str = "default") -> list[Row]:
    return list(read_log(str(folder), tenant))


@asynccontextmanager
async def logging_service(folder: Path, **log: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings.model_validate({"storage": {"data_dir": str(folder)}, "quality": {"log": log}})
    async with serving(folder, settings) as service, service.http() as http:
        yield http


def test_what_is_remembered_is_in_no_column_of_files(tmp_path: Path) -> None:
    oven = Passage(7, "chunk_7", "file_oven", "oven.md", "To 250 degrees.", 0, 15)
    remembered = Passage(-1, "msg_1", "msg_1", "conversation", "My oven is old.", 0, 15)
    citations = tuple(
        Citation(place, passage, passage.text, 0, 15, 1.0) for place, passage in enumerate((remembered, oven), 1)
    )
    answered = Answered("To 250 degrees.", citations, (remembered, oven), "stop", 1, 2, Trace())

    LogFiles(str(tmp_path)).write([question_log.to_row(replace(answer("a"), answered=answered))])

    (row,) = rows(tmp_path)
    assert (row["file_ids"], row["chunk_ids"], row["cited_file_ids"]) == (["file_oven"], ["chunk_7"], ["file_oven"])


async def test_without_a_setting_nothing_is_logged(tmp_path: Path) -> None:
    async with logging_service(tmp_path) as http:
        await http.post("/v1/query", json=QUESTION)

    assert not (tmp_path / "question_log").exists()


async def test_an_answer_is_logged_masked_and_can_be_found_by_its_id(tmp_path: Path) -> None:
    async with logging_service(tmp_path, share=1, answers=True) as http:
        given = (await http.post("/v1/query", json=QUESTION)).json()
        chat = {"model": "ragserve", "messages": [{"role": "user", "content": "How is the oven cleaned?"}]}
        await http.post("/v1/chat/completions", json=chat)

    first, second = rows(tmp_path / "question_log")
    assert first["request_id"] == given["id"]
    assert first["question"] == "How hot does the oven of [EMAIL] get?"
    assert first["answer"] == given["answer"]
    assert first["cited_file_ids"] == [given["citations"][0]["file_id"]]
    assert first["chunk_ids"] == [passage["chunk_id"] for passage in given["passages"]]
    assert dict(first["models"])["generate"] == "extractive"
    assert dict(first["timings_s"])["total"] > 0
    assert second["question"] == "How is the oven cleaned?"


async def test_the_log_is_turned_on_while_the_service_runs(tmp_path: Path) -> None:
    settings = Settings.model_validate({"storage": {"data_dir": str(tmp_path)}})
    async with serving(tmp_path, settings) as service, service.http() as http:
        await http.post("/v1/query", json=QUESTION)
        service.live.configure({"quality": {"log": {"share": 1}}})
        given = (await http.post("/v1/query", json=QUESTION)).json()

    (row,) = rows(tmp_path / "question_log")
    assert (row["request_id"], row["answer"]) == (given["id"], None)


def test_a_file_has_one_day_and_one_tenant_reads_only_its_rows(tmp_path: Path) -> None:
    log = QuestionLog(QuestionLogConfig(share=1), tmp_path, lambda: NOON)
    for watched in (answer("a"), answer("b", NOON + DAY_S), answer("c", tenant="other")):
        log.observe(watched)

    log.flush()

    days = sorted(path.name for path in tmp_path.iterdir())
    assert days == ["day=2026-11-29", "day=2026-11-30"]
    assert [row["request_id"] for row in rows(tmp_path)] == ["a", "b"]
    assert [row["request_id"] for row in rows(tmp_path, "other")] == ["c"]
    (path,) = (tmp_path / days[1]).iterdir()
    assert pq.read_table(path).column("at").to_pylist() == [datetime(2026, 11, 30, 12, tzinfo=UTC)]


def test_what_cannot_be_written_is_kept_and_written_later(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no folder")
    log = QuestionLog(QuestionLogConfig(share=1), tmp_path / "log", lambda: NOON)
    for request_id in ("a", "b"):
        log.observe(answer(request_id))

    log.flush()
    os.remove(tmp_path / "log")
    log.observe(answer("c"))
    log.flush()

    assert [row["request_id"] for row in rows(tmp_path / "log")] == ["a", "b", "c"]


def test_beyond_its_bound_the_oldest_rows_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question_log, "MAX_ROWS", 2)
    log = QuestionLog(QuestionLogConfig(share=1), tmp_path, lambda: NOON)
    for request_id in ("a", "b", "c"):
        log.observe(answer(request_id))

    log.flush()

    assert [row["request_id"] for row in rows(tmp_path)] == ["b", "c"]


def test_a_day_is_deleted_when_all_of_it_is_older_than_the_retention(tmp_path: Path) -> None:
    now = [NOON]
    log = QuestionLog(QuestionLogConfig(share=1, keep_s=DAY_S), tmp_path, lambda: now[0])
    log.observe(answer("a"))
    log.flush()
    (tmp_path / "notes").mkdir()

    for ahead_s, is_there in ((DAY_S, True), (1.6 * DAY_S, False)):
        now[0] = NOON + ahead_s
        log.flush()
        assert (tmp_path / "day=2026-11-29").exists() == is_there
    assert (tmp_path / "notes").exists()


def test_a_share_of_the_answers_is_logged(tmp_path: Path) -> None:
    log = QuestionLog(QuestionLogConfig(share=0.5), tmp_path, lambda: NOON)
    for number in range(400):
        log.observe(answer(str(number)))

    log.flush()

    assert 120 < len(rows(tmp_path)) < 280  # eight standard deviations


def test_a_folder_without_a_log_and_a_broken_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="has no question log"):
        rows(tmp_path)
    LogFiles(str(tmp_path)).write([question_log.to_row(answer("a"))])
    (tmp_path / "day=2026-11-29" / "broken.parquet").write_bytes(b"PAR1")

    with pytest.raises(InvalidRequestError, match=r"broken\.parquet: cannot be read"):
        rows(tmp_path)


@pytest.mark.parametrize("log", [{"url": "s3://user:secret@bucket"}, {"share": 2}, {"mask": ["name"]}, {"keep": 1}])
def test_a_wrong_setting_is_refused(log: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuestionLogConfig(**log)
