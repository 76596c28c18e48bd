"""/readyz tells the truth: ready when answers are whole, and in words what is missing when they are not."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.cluster.environment import free_port
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus, TokenScoring
from models.types.request_context import RequestContext
from serve.api import readiness
from serve.api.readiness import missing_parts, problems, stage_faults
from serve.http_app import BLOCKING_THREADS
from serve.pipelines.recent_answers import WINDOW_S, RecentAnswers
from serve.settings import Settings
from tests.inline import Failing, InlineEmbedder
from tests.patience import PATIENCE_S
from tests.serve.test_live_services import QUESTION, serving


class Reporting:
    """A stage that reports a status, or none."""

    def __init__(self, status: StageStatus | None) -> None:
        self.reported = status

    async def status(self, context: RequestContext) -> StageStatus:
        if self.reported is None:
            raise StageUnavailableError("rerank")
        return self.reported


@asynccontextmanager
async def service(folder: Path, reported: StageStatus | None, **replaced: Any) -> AsyncIterator[httpx.AsyncClient]:
    statuses = {"embed": InlineEmbedder(), "rerank": Reporting(reported)}
    async with serving(folder, statuses=statuses, **replaced) as (_, http):
        yield http


async def test_a_service_with_whole_answers_is_ready(tmp_path: Path) -> None:
    async with service(tmp_path, StageStatus("late-interaction")) as http:
        await http.post("/v1/query", json=QUESTION)
        readiness = await http.get("/readyz")

    body = readiness.json()
    assert readiness.status_code == 200
    assert (body["ready"], body["missing"], body["problems"], body["rollout"]) == (True, [], [], {})
    assert body["recent"] == {"answers": 1, "degraded": {}}


async def test_answers_without_a_stage_are_not_whole_though_every_stage_reports_ready(tmp_path: Path) -> None:
    down = Failing(StageUnavailableError("rerank"))
    async with service(tmp_path, StageStatus("late-interaction"), reranker=down) as http:
        for number in range(3):
            await http.post("/v1/query", json=QUESTION | {"query": f"How hot is oven {number}?"})
        readiness = await http.get("/readyz")

    assert readiness.status_code == 503
    assert readiness.json()["stages"]["rerank"]["ready"]
    assert readiness.json()["missing"] == ["rerank: 3 of the last 3 answers are without it"]
    assert readiness.json()["recent"] == {"answers": 3, "degraded": {"rerank": 1.0}}


async def test_a_stage_without_a_replica_or_a_model_is_missing(tmp_path: Path) -> None:
    async with service(tmp_path, None) as http:
        silent = (await http.get("/readyz")).json()
    async with service(tmp_path / "loading", StageStatus(loading="bge-m3")) as http:
        loading = (await http.get("/readyz")).json()

    assert (silent["ready"], silent["missing"]) == (False, ["rerank: no replica answers"])
    assert (loading["ready"], loading["missing"]) == (False, ["rerank: no model serves; bge-m3 is loading"])


async def test_a_dead_stage_that_answers_do_without_is_a_problem_of_a_ready_service(tmp_path: Path) -> None:
    scoring = TokenScoring("late-interaction", 0.5, ("a generation",))
    rerank = Reporting(StageStatus("late-interaction", token_scoring=scoring))
    generate = Reporting(StageStatus("extractive"))
    statuses = {"rerank": rerank, "generate": generate}
    async with serving(tmp_path, statuses=statuses) as (live, http):
        async with asyncio.timeout(PATIENCE_S):  # until the service has read both
            while await live.current.unneeded_stages() != {"rerank", "generate"}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        rerank.reported = generate.reported = None
        readiness = await http.get("/readyz")
        live.configure({"retrieval": {"stored_token_vectors": False}})
        without_vectors = await http.get("/readyz")

    ending = "no replica answers; answers do without it"
    assert (readiness.status_code, readiness.json()["missing"]) == (200, [])
    assert readiness.json()["problems"] == [f"rerank: {ending}", f"generate: {ending}"]
    assert not readiness.json()["stages"]["rerank"]["ready"]
    assert without_vectors.status_code == 503
    assert without_vectors.json()["missing"] == ["rerank: no replica answers"]
    assert without_vectors.json()["problems"] == [f"generate: {ending}"]


async def test_a_language_model_that_is_dead_is_missing(tmp_path: Path) -> None:
    generate = Reporting(StageStatus("qwen3-0.6b"))
    async with serving(tmp_path, statuses={"rerank": InlineEmbedder(), "generate": generate}) as (_, http):
        before = await http.get("/readyz")
        generate.reported = None
        after = await http.get("/readyz")

    assert (before.status_code, after.status_code) == (200, 503)
    assert after.json()["missing"] == ["generate: no replica answers"]


def test_a_breaker_on_trial_is_still_a_loss() -> None:
    faults = stage_faults({}, {"embed": "closed", "dense": "open", "rerank": "half_open"})

    assert faults == [("dense", "its breaker is open"), ("rerank", "its breaker is half_open")]


def test_a_parser_that_does_not_answer_is_a_problem_of_files_and_not_of_answers() -> None:
    statuses = {"embed": StageStatus("minilm"), "parse": None}

    assert missing_parts(stage_faults(statuses, {}), RecentAnswers(lambda: 0.0).losses()) == []
    assert problems(statuses, {}) == ["parse: no replica answers, so files wait"]
    assert problems({"embed": StageStatus("minilm")}, {}) == []


async def test_a_failed_swap_and_an_open_breaker_are_problems_of_a_ready_service(tmp_path: Path) -> None:
    models = (("first", "open"), ("second", "ready"))
    async with service(tmp_path, StageStatus("second", error="model 'x' does not load", models=models)) as http:
        body = (await http.get("/readyz")).json()

    assert body["ready"]
    assert body["problems"] == ["rerank: model 'x' does not load", "rerank: model first is open"]


async def test_a_failed_backup_is_a_problem_of_a_ready_service(tmp_path: Path) -> None:
    place = tmp_path / "backups"
    place.write_text("no folder")
    storage = {"data_dir": tmp_path / "data"}
    settings = Settings.model_validate({"storage": storage, "backups": {"url": str(place), "every_s": 3600}})
    async with serving(tmp_path, settings) as (_, http):
        body, end = (await http.get("/readyz")).json(), time.monotonic() + PATIENCE_S
        while not body["problems"] and time.monotonic() < end:
            await asyncio.sleep(0.05)
            body = (await http.get("/readyz")).json()

    assert body["ready"]
    assert body["problems"] == ["backups: the last one failed; the log says why"]


async def test_the_breakers_of_servers_are_reported_and_answers_need_some_of_them(tmp_path: Path) -> None:
    without_milvus = StageStatus("first", dependencies=(("milvus", "open"),))
    cache = {"redis_url": f"redis://127.0.0.1:{free_port()}/0", "redis_timeout_s": 10}  # nobody listens there
    settings = Settings(cache=cache)
    async with serving(tmp_path, settings, statuses={"rerank": Reporting(without_milvus)}) as (_, http):
        before = (await http.get("/readyz")).json()
        answer = await http.post("/v1/query", json=QUESTION)
        after = (await http.get("/readyz")).json()

    closed = {"database": "closed", "database_writes": "closed", "redis": "closed"}
    assert before["dependencies"] == closed | {"milvus": "open"}
    assert (before["missing"], before["problems"]) == (["milvus: its breaker is open"], [])
    assert answer.json()["degraded"] == []
    assert after["problems"] == [f"redis: its breaker is {after['dependencies']['redis']}"]


async def test_a_roll_out_is_reported(tmp_path: Path) -> None:
    pending = {"Reranker": "updating: 1 running, 1 starting"}
    async with service(tmp_path, StageStatus("late-interaction"), rollout=lambda: pending) as http:
        body = (await http.get("/readyz")).json()

    assert (body["ready"], body["rollout"]) == (True, pending)


async def test_a_controller_that_hangs_takes_no_threads_from_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer, num_looks = threading.Event(), [0]
    monkeypatch.setattr(readiness, "ROLLOUT_S", 0.1)

    def look() -> dict[str, str]:
        num_looks[0] += 1
        assert may_answer.wait(PATIENCE_S)
        return {"Reranker": "updating"}

    async with service(tmp_path, StageStatus("late-interaction"), rollout=look) as http:
        probes = [(await http.get("/readyz")).json() for _ in range(BLOCKING_THREADS + 2)]
        answered = await http.post("/v1/query", json=QUESTION)
        num_looks_before = num_looks[0]
        may_answer.set()
        async with asyncio.timeout(PATIENCE_S):
            while not (await http.get("/readyz")).json()["rollout"]:  # noqa: ASYNC110 - the thread is to end
                await asyncio.sleep(0.01)

    assert [probe["rollout"] for probe in probes] == [{}] * len(probes)
    assert answered.status_code == 200
    assert num_looks_before == 1


def test_a_stage_is_whole_again_when_most_of_the_last_answers_have_it() -> None:
    now = [0.0]
    recent = RecentAnswers(lambda: now[0])

    for _ in range(4):
        recent.add(["rerank"])
    lost = recent.losses().missing
    for _ in range(3):
        recent.add([])

    assert lost == ("rerank",)
    assert recent.losses().missing == ()
    assert recent.losses().by_stage == {"rerank": 4}
    recent.add(["rerank_fallback"])
    now[0] = WINDOW_S
    assert recent.losses().num_answers == 8
    now[0] = WINDOW_S + 1
    assert recent.losses().num_answers == 0
