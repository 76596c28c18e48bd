"""A reranker with too little time: what it answers, what it keeps, and that its probe does not wait for its work."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from deployments.reranker import Reranker
from models.catalog import Catalog, CatalogEntry, ModelEntry
from models.errors.stages import DeadlineExceededError
from models.reranking.base import RerankRequest, RerankWork
from models.reranking.pair_scores import PairScores
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray
from models.types.stage_results import Reranking
from tests.contexts import envelope
from tests.patience import PATIENCE_S

SHORT_S = 0.2
PASS_TEXTS, TEXT_TOKENS = 4, 16


class NoOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GatedModel:
    """A text's score is its first number. The first `num_quick` passes end at once, the others when the gate opens."""

    config_class = NoOptions
    retrieval_weight = 0.0
    num_quick = 1
    gate = threading.Event()

    def __init__(self, name: str, config: NoOptions) -> None:
        self.name = name
        self.num_passes = -1  # before the first request, the replica warms the model up
        self._unfinished = PairScores()

    def tokenize(self, request: RerankRequest) -> RerankWork:
        state = self._unfinished.look_up(request)
        numbers = [text.split()[0] for text in state.missing_texts(request)]
        ids = [int(number) if number.isdigit() else 0 for number in numbers]
        return RerankWork(request, tuple(Encoding(np.array([first] * TEXT_TOKENS, np.int32)) for first in ids), state)

    def forward(self, batch: Sequence[Encoding]) -> list[float]:
        self.num_passes += 1
        assert self.num_passes <= self.num_quick or self.gate.wait(PATIENCE_S)
        return [float(encoding.ids[0]) for encoding in batch]

    def keep(self, work: RerankWork, place: int, output: float) -> None:
        self._unfinished.keep(work, place, output)

    def finish(self, work: RerankWork, outputs: Sequence[Any | None]) -> FloatArray:
        return self._unfinished.finish(work, outputs)

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        return np.clip(scores, 0, 1)


class StuckModel(GatedModel):
    """No pass ends before the gate opens."""

    num_quick = 0


class EagerModel(GatedModel):
    """No pass waits for the gate."""

    num_quick = 1_000_000


@pytest.fixture(autouse=True)
def gate() -> Iterator[threading.Event]:
    GatedModel.gate.clear()
    yield GatedModel.gate
    GatedModel.gate.set()


async def reranker(kind: type[GatedModel], **user_config: Any) -> Reranker:
    entries: dict[str, CatalogEntry] = {
        made.__name__: ModelEntry(kind=f"{made.__module__}:{made.__name__}", licence="Apache-2.0", options={})
        for made in (GatedModel, StuckModel, EagerModel)
    }
    replica = Reranker(Catalog({"embedding": {}, "reranking": entries, "generation": {}}))
    sizes = {"max_batch_tokens": 4 * PASS_TEXTS * TEXT_TOKENS}  # the first pass is a short one: a quarter
    await replica.reconfigure({"model": kind.__name__} | sizes | user_config)
    async with asyncio.timeout(PATIENCE_S):
        await replica._slot.until_settled()
    return replica


def numbered(num_texts: int, query: str = "query") -> RerankRequest:
    return RerankRequest(query, tuple(str(number) for number in range(1, num_texts + 1)))


async def end_the_running_pass(replica: Reranker) -> None:
    """Open the gate. Another request's pass comes after the running one."""
    GatedModel.gate.set()
    await replica.rerank(numbered(1, "another query"), envelope(PATIENCE_S))


async def rerank_late(replica: Reranker, request: RerankRequest) -> Reranking:
    """What its time sufficed for. On a busy machine it may end before the first pass: then it has twice as much."""
    budget_s = SHORT_S
    while True:
        try:
            return await replica.rerank(request, envelope(budget_s))
        except DeadlineExceededError:
            budget_s *= 2


def read(reranking: Reranking) -> list[int]:
    return np.flatnonzero(~np.isnan(reranking.scores)).tolist()


async def test_the_candidates_that_were_read_in_time_are_scored() -> None:
    replica = await reranker(GatedModel)

    reranking = await rerank_late(replica, numbered(12))

    assert read(reranking) == [0, 1, 2, 3]
    assert reranking.scores[:4].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert reranking.is_partial


async def test_without_a_candidate_read_the_request_is_late() -> None:
    replica = await reranker(StuckModel)

    with pytest.raises(DeadlineExceededError):
        await replica.rerank(numbered(12), envelope(SHORT_S))


async def test_a_late_request_is_continued_where_it_ended() -> None:
    replica = await reranker(GatedModel)
    await rerank_late(replica, numbered(12))
    await asyncio.gather(replica.rerank(numbered(12), envelope(SHORT_S)), return_exceptions=True)

    await end_the_running_pass(replica)
    again = await replica.rerank(numbered(12), envelope(PATIENCE_S))

    assert read(again) == list(range(12))
    assert replica._slot.serving.num_passes == 2 + 1


async def test_a_cancelled_request_is_continued_where_it_ended() -> None:
    replica = await reranker(GatedModel)
    call = asyncio.create_task(replica.rerank(numbered(8), envelope(PATIENCE_S)))
    async with asyncio.timeout(PATIENCE_S):
        while replica._slot.serving.num_passes < 2:  # noqa: ASYNC110, it has no event for it
            await asyncio.sleep(0)

    call.cancel()
    await asyncio.wait([call])
    await end_the_running_pass(replica)
    again = await replica.rerank(numbered(8), envelope(PATIENCE_S))

    assert read(again) == list(range(8))
    assert replica._slot.serving.num_passes == 2 + 1


async def test_scores_for_the_api_are_never_partial_but_kept_for_the_next_request() -> None:
    replica = await reranker(GatedModel)
    request = numbered(5 * PASS_TEXTS)

    with pytest.raises(DeadlineExceededError):
        await replica.score(request, envelope(SHORT_S))
    await end_the_running_pass(replica)
    relevance = await replica.score(request, envelope(PATIENCE_S))

    assert relevance.scores.tolist() == list(range(1, 5 * PASS_TEXTS + 1))
    assert replica._slot.serving.num_passes == 2 + 1


async def test_a_canary_without_time_for_all_candidates_leaves_them_to_the_serving_model(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    replica = await reranker(EagerModel, canary={"model": "GatedModel", "share": 0.999_999})
    call = asyncio.create_task(replica.rerank(numbered(12), envelope(20 * SHORT_S)))
    async with asyncio.timeout(PATIENCE_S):
        while "canary GatedModel failed" not in caplog.text:  # noqa: ASYNC110, the log has no event for it
            await asyncio.sleep(0)

    gate.set()
    reranking = await call

    assert (reranking.model, reranking.failed_canary) == ("EagerModel", "GatedModel")
    assert not reranking.is_partial


async def test_the_probe_of_a_busy_model_does_not_wait_for_its_work(gate: threading.Event) -> None:
    replica = await reranker(StuckModel)
    call = asyncio.create_task(replica.rerank(numbered(12), envelope(PATIENCE_S)))
    async with asyncio.timeout(PATIENCE_S):
        while replica._slot.serving.num_passes < 1:  # noqa: ASYNC110, it has no event for it
            await asyncio.sleep(0)

    await replica.check_health()

    assert not call.done()
    gate.set()
    assert read(await call) == list(range(12))
