"""Simulated stages: replicas that sleep for as long as a model would compute.

The batching, the meters and the message formats are the real ones, so that a machine of two cores runs a graph that
needs a dozen GPUs.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ray import serve

from deployments.autoscaling import SlotMeter, WorkMeter
from deployments.calls.coalescer import answers_of
from deployments.calls.envelope import Envelope
from deployments.replica.token_batcher import TokenBatcher
from deployments.replica.user_config import TokenBatchedConfig
from models.deadline import Deadline
from models.tokens.encoding import Encoding

MIN_BATCH_TOKENS = 64  # TokenBatchedConfig's own bound
MAX_SERVE_BATCH = 32


class ServiceTime(Protocol):
    """How long a batch of n items takes; or, in an engine, an answer among n that run at once."""

    def seconds(self, num_items: float, /) -> float: ...


@dataclass(frozen=True)
class BatchTime:
    """A forward pass: `fixed_s`, and `item_s` for each of its items."""

    fixed_s: float
    item_s: float

    def seconds(self, num_items: float, /) -> float:
        return self.fixed_s + self.item_s * num_items


@dataclass(frozen=True)
class DecodeTime:
    """An engine's answer of `num_tokens`: a step gives a token each to up to `slots` requests.

    A step takes `step_s`, and `request_s` for each request in it.
    """

    num_tokens: int
    step_s: float
    request_s: float
    slots: int

    def seconds(self, num_requests: float, /) -> float:
        return self.num_tokens * (self.step_s + self.request_s * min(num_requests, self.slots))


class SleepingModel:
    """The model of a token batcher."""

    def __init__(self, time_of: ServiceTime) -> None:
        self._time_of = time_of

    def forward(self, batch: Sequence[Encoding]) -> list[str]:
        time.sleep(self._time_of.seconds(len(batch)))
        return ["done"] * len(batch)


class TokenBatchedStage:
    """Embedding or reranking: the real token batcher, one forward pass at a time. Every item has `item_tokens`."""

    def __init__(self, stage: str, time_of: ServiceTime, max_batch_size: int, item_tokens: int = 64) -> None:
        max_tokens = max(MIN_BATCH_TOKENS, item_tokens * max_batch_size)
        config = TokenBatchedConfig(max_batch_size=max_batch_size, max_batch_tokens=max_tokens)
        self._stage, self._batcher, self._model = stage, TokenBatcher(stage, config), SleepingModel(time_of)
        self._encoding = Encoding(np.zeros(item_tokens, np.int32))

    async def run_all(self, items: list[Any], envelopes: list[Envelope]) -> list[Any]:
        """A message of concurrent calls."""
        return await answers_of(self._stage, envelopes, map(self._run, envelopes))

    async def _run(self, envelope: Envelope) -> str:
        (output,) = await self._batcher.run(self._model, [self._encoding], Deadline.after(envelope.budget_s))
        return str(output)

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._batcher.meter.stats()


class ServeBatchedStage:
    """Search: batched by Serve, as the searchers are."""

    def __init__(self, time_of: ServiceTime) -> None:
        self._time_of = time_of
        self._meter = WorkMeter()

    async def run_all(self, items: list[Any], envelopes: list[Envelope]) -> list[Any]:
        """A message of concurrent calls."""
        self._meter.arrived(len(items))
        try:
            return await self._run_batch(items)
        finally:
            self._meter.left(len(items))

    @serve.batch(max_batch_size=MAX_SERVE_BATCH, batch_wait_timeout_s=0.0)
    async def _run_batch(self, messages: list[list[Any]]) -> list[list[Any]]:
        num_items, start = sum(map(len, messages)), time.perf_counter()
        await asyncio.sleep(self._time_of.seconds(num_items))
        self._meter.worked(num_items, time.perf_counter() - start)
        return messages

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class EngineStage:
    """Generation: up to `slots` requests at once, each streamed in `num_deltas`; the others wait for a slot.

    The speed follows the number of requests that run: it is looked up at each delta, and every `tick_s`.
    """

    def __init__(self, time_of: ServiceTime, slots: int, num_deltas: int = 2, tick_s: float = math.inf) -> None:
        self._time_of, self._num_deltas, self._tick_s = time_of, num_deltas, tick_s
        self._free_slots = asyncio.Semaphore(slots)
        self._num_running = 0
        self._meter = SlotMeter(slots)

    async def stream(self, item: Any, envelope: Envelope) -> AsyncGenerator[str, None]:
        with self._meter.request():
            async with self._free_slots:
                self._num_running += 1
                try:
                    for _ in range(self._num_deltas):
                        await self._compute(1 / self._num_deltas)
                        yield "done"
                finally:
                    self._num_running -= 1

    async def _compute(self, fraction: float) -> None:
        """Sleeps for this fraction of an answer's time."""
        now = time.perf_counter()
        while fraction > 0:
            answer_s = self._time_of.seconds(self._num_running)
            await asyncio.sleep(min(self._tick_s, fraction * answer_s))
            now, before = time.perf_counter(), now
            fraction -= (now - before) / answer_s

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class SerialStage:
    """Parsing: one file after the other."""

    def __init__(self, item_s: float) -> None:
        self._item_s = item_s
        self._is_busy = asyncio.Lock()
        self._meter = SlotMeter()

    async def run(self, item: Any) -> str:
        with self._meter.request():
            async with self._is_busy:
                await asyncio.sleep(self._item_s)
        return "done"

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class ConcurrentStage:
    """Any number of requests at once, each in `item_s`; `capacity` of them keep a replica busy."""

    def __init__(self, item_s: float, capacity: int) -> None:
        self._item_s = item_s
        self._meter = WorkMeter(capacity)

    async def run(self, item: Any) -> str:
        self._meter.arrived(1)
        try:
            await asyncio.sleep(self._item_s)
            self._meter.worked(1, self._item_s)
        finally:
            self._meter.left(1)
        return "done"

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._meter.stats()


class EchoStage:
    """A stage without any work: a call of it measures only the cost of the call."""

    async def run(self, item: str) -> str:
        return item

    async def run_all(self, items: list[str], envelopes: list[Envelope]) -> list[str]:
        """A message of concurrent calls."""
        return items
