"""What a client gets while a stage is down: a result that names what it lacks and why, or an error, as it chose."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.calls.inline import InlineHandle
from deployments.calls.stage_breaker import StageBreakerConfig
from deployments.embedder import EmbedderClient
from models.corpus.views import Views
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.stage_status import StageStatus
from models.types.chunks import Passage
from models.types.scope import Scope
from serve.live_services import LiveServices
from serve.pipelines.retrieve import RetrievalConfig
from serve.settings import Settings
from tests.inline import Failing
from tests.patience import PATIENCE_S
from tests.serve.test_live_services import serving

QUESTION = {"query": "How hot does the oven get?"}
DOWN = {"embedder": Failing(StageUnavailableError("embed"))}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/query": QUESTION,
    "/v1/vector_stores/default/search": QUESTION,
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": QUESTION["query"]}],
        "vector_store_ids": ["default"],
    },
    "/v1/responses": {
        "input": QUESTION["query"],
        "tools": [{"type": "file_search", "vector_store_ids": ["default"]}],
    },
}


class Hanging:
    """An embedder's replica that answers nothing while it hangs."""

    def __init__(self) -> None:
        self.num_calls = 0

    async def embed_batch(self, *_: object) -> list[Any]:
        self.num_calls += 1
        await asyncio.Event().wait()
        raise AssertionError

    async def status(self) -> StageStatus:
        raise StageUnavailableError("embed")


@asynccontextmanager
async def without_embedder(folder: Path) -> AsyncIterator[tuple[Hanging, LiveServices, httpx.AsyncClient]]:
    """The application whose embedder hangs. A search may take 0.2 s."""
    replica = Hanging()
    client = EmbedderClient(InlineHandle(replica, {}), "embed")
    settings = Settings(
        retrieval=RetrievalConfig(search_s=0.2), breaker=StageBreakerConfig(failures=2, open_s=60, min_budget_s=0.001)
    )
    async with serving(folder, settings, embedder=client, breakers={"embed": client.breakers}) as (live, http):
        yield replica, live, http


@pytest.mark.parametrize("path", ROUTES)
async def test_a_result_names_what_it_lacks_and_why(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path, **DOWN) as (_, http):
        response = await http.post(path, json=ROUTES[path])

    assert response.status_code == 200
    assert response.json()["degraded"] == ["dense"]
    assert response.json()["degraded_reasons"] == {"dense": "embed stage_unavailable"}


@pytest.mark.parametrize("path", ROUTES)
async def test_who_takes_no_degraded_result_gets_a_503_with_the_reason(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path, **DOWN) as (_, http):
        response = await http.post(path, json=ROUTES[path] | {"degrade": "never"})

    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    error = response.json()["error"]
    assert error["code"] == "degraded"
    assert "dense is missing (embed stage_unavailable)" in error["message"]


@pytest.mark.parametrize("path", ROUTES)
async def test_who_takes_no_degraded_result_gets_a_whole_one(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as (_, http):
        response = await http.post(path, json=ROUTES[path] | {"degrade": "never"})
        wrong = await http.post(path, json=ROUTES[path] | {"degrade": "sometimes"})

    assert response.status_code == 200
    assert response.json()["degraded"] == []
    assert response.json()["degraded_reasons"] == {}
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (422, "degrade")


async def test_a_reranker_or_a_generator_that_fails_is_refused_too(tmp_path: Path) -> None:
    late = Failing(DeadlineExceededError("rerank", 10.0))
    broken = Failing(StageUnavailableError("generate"))

    async with serving(tmp_path, reranker=late) as (_, http):
        reranked = await http.post("/v1/query", json=QUESTION | {"degrade": "never"})
    (tmp_path / "second").mkdir()
    async with serving(tmp_path / "second", generator=broken) as (_, http):
        quoted = await http.post("/v1/query", json=QUESTION)
        refused = await http.post("/v1/query", json=QUESTION | {"degrade": "never"})

    assert "rerank is missing (rerank deadline_exceeded)" in reranked.json()["error"]["message"]
    assert quoted.json()["degraded_reasons"] == {"generate": "generate stage_unavailable"}
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "degraded")


async def test_a_stream_that_lacks_a_stage_ends_in_a_typed_error(tmp_path: Path) -> None:
    late = Failing(StageUnavailableError("generate"), num_deltas=1)
    async with serving(tmp_path, generator=late) as (_, http):
        response = await http.post("/v1/query", json=QUESTION | {"degrade": "never", "stream": True})

    assert response.status_code == 200
    assert response.text.rstrip().splitlines()[-1].startswith('data: {"error": {"message": ')
    assert '"code": "degraded"' in response.text


@pytest.mark.parametrize(
    ("keyword_only_without", "stage", "status"),
    [
        (["embed", "dense"], "embed", 200),
        (["dense"], "embed", 503),
        (["embed"], "embed", 200),
        (["embed"], "dense", 503),
        ([], "dense", 503),
    ],
)
async def test_the_operator_says_what_keywords_may_replace(
    tmp_path: Path, keyword_only_without: list[str], stage: str, status: int
) -> None:
    down = {"embed": "embedder", "dense": "dense"}[stage]
    async with serving(tmp_path, **{down: Failing(StageUnavailableError(stage))}) as (live, http):
        live.configure({"retrieval": {"keyword_only_without": keyword_only_without}})
        response = await http.post("/v1/query", json=QUESTION)

    assert response.status_code == status
    if status == 200:
        assert response.json()["degraded_reasons"] == {"dense": f"{stage} stage_unavailable"}
    else:
        assert response.json()["error"]["code"] == "stage_unavailable"


async def test_after_the_first_questions_a_dead_embedder_costs_nothing_and_readiness_says_so(tmp_path: Path) -> None:
    async with without_embedder(tmp_path) as (replica, _, http):
        answers = [(await http.post("/v1/query", json=QUESTION)).json() for _ in range(8)]
        readiness = (await http.get("/readyz")).json()

    reasons = [answer["degraded_reasons"]["dense"] for answer in answers]
    num_late = reasons.count("embed deadline_exceeded")
    assert 2 <= num_late < 8
    assert reasons == ["embed deadline_exceeded"] * num_late + ["embed breaker_open"] * (8 - num_late)
    assert replica.num_calls <= num_late
    assert readiness["stages"]["embed"]["breaker"] == "open"
    assert readiness["stages"]["rerank"]["breaker"] == "closed"


async def test_the_breaker_can_be_turned_off_while_it_serves(tmp_path: Path) -> None:
    async with without_embedder(tmp_path) as (replica, live, http):
        live.configure({"breaker": {"enabled": False}})
        answers = [(await http.post("/v1/query", json=QUESTION)).json() for _ in range(4)]

    assert {answer["degraded_reasons"]["dense"] for answer in answers} == {"embed deadline_exceeded"}
    assert replica.num_calls == 4


def waited_s(response: httpx.Response) -> float:
    """The time that the stage had, as the error says."""
    match = re.fullmatch(r"the \w+ stage did not answer within (\S+) s", response.json()["error"]["message"])
    assert match
    return float(match[1])


async def test_a_clients_timeout_shortens_the_request(tmp_path: Path) -> None:
    async with without_embedder(tmp_path) as (_, live, http):
        live.configure({"retrieval": {"search_s": 60}})
        response = await http.post("/v1/query", json=QUESTION | {"mode": "dense"}, headers={"x-request-timeout": "2"})

    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert waited_s(response) <= 2


@pytest.mark.parametrize("path", ["/v1/query", "/v1/chat/completions", "/v1/vector_stores/default/search"])
async def test_a_clients_timeout_ends_a_read_that_has_no_deadline(tmp_path: Path, path: str) -> None:
    may_end = threading.Event()

    class HungViews(Views):
        def passages(self, keys: Any, scope: Scope) -> dict[int, Passage]:
            may_end.wait(PATIENCE_S)
            return super().passages(keys, scope)

    async with serving(tmp_path) as (live, http):
        corpus = live.current.corpus
        live._corpus = replace(corpus, views=HungViews(corpus.views.database))
        live.configure({})
        response = await http.post(path, json=ROUTES[path], headers={"x-request-timeout": "0.1"})
        may_end.set()

    assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert waited_s(response) <= 0.1


async def test_a_clients_timeout_makes_no_request_longer(tmp_path: Path) -> None:
    async with without_embedder(tmp_path) as (_, _, http):
        response = await http.post("/v1/query", json=QUESTION | {"mode": "dense"}, headers={"x-request-timeout": "999"})

    assert 0 < waited_s(response) <= 0.2


@pytest.mark.parametrize("path", [*ROUTES, "/v1/embeddings", "/v1/rerank"])
async def test_a_wrong_timeout_is_refused_by_name(tmp_path: Path, path: str) -> None:
    bodies = ROUTES | {"/v1/embeddings": {"input": "a"}, "/v1/rerank": {"query": "a", "documents": ["b"]}}
    async with serving(tmp_path) as (_, http):
        for timeout in ("", "soon", "-1", "0", "0.001", "1e9", "nan", "inf", "5s"):
            response = await http.post(path, json=bodies[path], headers={"x-request-timeout": timeout})

            error = response.json()["error"]
            assert (response.status_code, error["code"], error["param"]) == (
                422,
                "invalid_request",
                "x-request-timeout",
            )
            assert error["message"] == "x-request-timeout must be a number of seconds from 0.01 to 3600"
