"""The stages of `ragserve bench plan`: replicas that sleep as long as a profile says, and the graph that calls them."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from ray.serve.handle import DeploymentHandle

from deployments.calls.client import StageClient
from deployments.calls.coalescer import CoalescingConfig
from deployments.calls.envelope import Envelope
from models.types import DEFAULT_TENANT, Deadline, RequestContext
from serve.cli.capacity.profile import BatchTimes, StageName

BUDGET_S = 120.0
TICK_S = 0.05  # between looks at how many requests share the engine


class SimulatedStage:
    """Sleeps a batch at a time, of what gathered meanwhile."""

    def __init__(self, times: BatchTimes, max_batch: int) -> None:
        self._times, self._max_batch = times, max_batch
        self._queue: deque[asyncio.Future[None]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def ask_together(self, items: list[int], envelopes: list[Envelope]) -> list[int]:
        """A message of queries."""
        futures = [asyncio.get_running_loop().create_future() for _ in items]
        self._queue += futures
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        await asyncio.gather(*futures)
        return items

    async def _work(self) -> None:
        end = time.perf_counter()
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
            # From the end of the batch before, so that what a timer is late by does not add up.
            end = max(end, time.perf_counter() - TICK_S) + self._times.seconds(len(batch))
            await asyncio.sleep(end - time.perf_counter())
            for future in batch:
                # Its caller may be gone.
                with suppress(asyncio.InvalidStateError):
                    future.set_result(None)


class SimulatedEngine:
    """Sleeps for all requests at once, each for longer the more there are."""

    def __init__(self, times: BatchTimes, max_batch: int) -> None:
        self._times, self._slots = times, asyncio.Semaphore(max_batch)
        self._running = 0

    async def stream(self, item: int) -> AsyncIterator[int]:
        async with self._slots:
            self._running += 1
            try:
                await self._live()
            finally:
                self._running -= 1
        yield item

    async def _live(self) -> None:
        """A life of 1, at 1 / seconds(n) a second among n."""
        left, now = 1.0, time.perf_counter()
        while left > 0:
            life_s = self._times.seconds(self._running)
            await asyncio.sleep(min(TICK_S, left * life_s))
            now, before = time.perf_counter(), now
            left -= (now - before) / life_s


class Graph:
    """The request path through the clients that the service uses, and callers in a closed loop."""

    def __init__(
        self, handles: dict[StageName, DeploymentHandle], dense: list[DeploymentHandle], coalescing: CoalescingConfig
    ) -> None:
        self._clients = {name: StageClient(handle, name, coalescing) for name, handle in handles.items()}
        self._dense = [StageClient(handle, "dense", coalescing) for handle in dense]

    async def drive(self, clients: int, warm_s: float, seconds: float) -> list[float]:
        """The times, in seconds, of the queries that ended within `seconds`, once `warm_s` are over."""
        took: list[float] = []
        begin = time.perf_counter() + warm_s
        loops = (self._client(number, begin, begin + seconds, took) for number in range(clients))
        await asyncio.gather(*loops)
        return took

    async def _client(self, number: int, begin: float, end: float, took: list[float]) -> None:
        while (start := time.perf_counter()) < end:
            await self.ask(number)
            now = time.perf_counter()
            if begin <= now < end:
                took.append(now - start)

    async def ask(self, item: int) -> None:
        """(embed -> dense) beside lexical -> rerank -> generate."""
        context = RequestContext("bench", DEFAULT_TENANT, Deadline.after(BUDGET_S))
        await asyncio.gather(self._embed_and_search(item, context), self._shared("lexical", item, context))
        await self._shared("rerank", item, context)
        async with aclosing(self._clients["generate"].stream_call("stream", item, context=context)) as deltas:
            async for _ in deltas:
                pass

    async def _embed_and_search(self, item: int, context: RequestContext) -> None:
        await self._shared("embed", item, context)
        await asyncio.gather(*(shard.shared_call("ask_together", item, context) for shard in self._dense))

    async def _shared(self, stage: StageName, item: int, context: RequestContext) -> None:
        await self._clients[stage].shared_call("ask_together", item, context)
