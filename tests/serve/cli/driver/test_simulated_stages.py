"""Simulated stages: their times, which can be redone by hand, and their answers outside Ray."""

import asyncio
import time

import pytest

from deployments.calls.envelope import Envelope
from serve.cli.driver.simulated_stages import BatchTime, DecodeTime, EngineStage, TokenBatchedStage

ENVELOPE = Envelope("request", "tenant", budget_s=30.0)


def test_a_batch_costs_its_pass_and_its_items() -> None:
    assert BatchTime(fixed_s=0.015, item_s=0.035).seconds(8) == pytest.approx(0.295)


def test_an_engine_is_slower_the_more_it_runs_but_runs_no_more_than_its_slots() -> None:
    engine = DecodeTime(num_tokens=8, step_s=0.020, request_s=0.001, slots=16)

    assert engine.seconds(1) == pytest.approx(8 * 0.021)
    assert engine.seconds(16) == engine.seconds(40) == pytest.approx(8 * 0.036)


@pytest.mark.parametrize("item_tokens", [1, 64])
async def test_a_batch_never_exceeds_its_size(item_tokens: int) -> None:
    sizes: list[float] = []

    class RecordedTime:
        def seconds(self, num_items: float, /) -> float:
            sizes.append(num_items)
            return 0.001

    stage = TokenBatchedStage("rerank", RecordedTime(), max_batch_size=4, item_tokens=item_tokens)

    answers = await stage.run_all(list(range(10)), [ENVELOPE] * 10)

    assert answers == ["done"] * 10
    assert sum(sizes) == 10
    assert max(sizes) <= 4


async def test_an_engine_streams_to_no_more_requests_than_it_has_slots() -> None:
    engine = EngineStage(BatchTime(0.02, 0.0), slots=2, num_deltas=2)
    start = time.perf_counter()

    answers = await asyncio.gather(*(_collect(engine) for _ in range(4)))

    assert answers == [["done", "done"]] * 4
    # Two rounds of two requests, of 20 ms each.
    assert time.perf_counter() - start >= 0.04


async def _collect(engine: EngineStage) -> list[str]:
    return [delta async for delta in engine.stream("question", ENVELOPE)]
