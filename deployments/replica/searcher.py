"""The base of both searchers: a view of the log that batches its searches, and can be killed at any time."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

from deployments.autoscaling import WorkMeter
from deployments.calls.envelope import Envelope
from deployments.replica.fair_shares import Flow
from deployments.replica.liveness import Liveness
from deployments.replica.message_batcher import MessageBatcher
from deployments.replica.received import received
from deployments.replica.start import start_replica
from deployments.replica.storage import StorageConfig
from deployments.telemetry.metrics.stages import INDEX_CHUNKS, INDEX_FRESH, STAGE_DROPPED
from models.breaker import Breaker
from models.deadline import Deadline
from models.errors.base import RagError
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.errors.storage import STORAGE_ERRORS
from models.stage_status import StageStatus

logger = logging.getLogger(__name__)

Timed = tuple[Any, Deadline]  # a request and its deadline
Work = Callable[[list[Any]], list[Any]]  # an answer for each request; blocks
STUCK_S = 900.0  # an older search is stuck; the first one after a large upload reads a long log
MAINTAIN_S = 1.0  # time between two looks at the log while there is nothing to catch up with


class Search(Protocol):
    """Dense or keyword search over every vector store. One caller at a time."""

    def search(self, requests: list[Any]) -> list[Any]:
        """A ranking for each request, from indexes that have caught up with the log."""

    @property
    def num_chunks(self) -> int | None:
        """Chunks of the indexes in memory; None if they are elsewhere."""

    @property
    def dependencies(self) -> Mapping[str, Breaker]:
        """The breakers of the servers that it calls, by name."""

    def maintain(self) -> bool:
        """Do one step of work that no search should wait for. Returns whether there is more."""


class Searcher:
    """A replica's base. `reconfigure` sets `_search`, which reads its indexes from a snapshot and the log."""

    stage: str  # the label of its metrics
    _search: Search

    def __init__(self, storage: StorageConfig) -> None:
        start_replica(self.stage)
        self._storage = storage
        self._corpus = storage.open()
        # One thread owns the indexes: they must not be searched while they are written.
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")
        self._maintenance: asyncio.Task[None] | None = None
        self._meter = WorkMeter()
        self._searches = MessageBatcher(self.search_messages, self.stage)
        self._liveness = Liveness("search", STUCK_S)

    def start(self, search: Search) -> None:
        """Use `search` from the next batch on."""
        self._search = search
        if self._maintenance is None:
            self._maintenance = asyncio.create_task(self._maintain())

    @received
    async def search(self, requests: list[Any], envelopes: list[Envelope]) -> list[Any]:
        """A ranking for each request, in order; an error in the place of a request that failed or is late.

        Concurrent messages share one look at the log, and one search of each index.
        """
        return await self.metered(self._searches, requests, envelopes)

    async def metered(self, batcher: MessageBatcher, requests: list[Any], envelopes: list[Envelope]) -> list[Any]:
        """The answers of `batcher` to a message of requests."""
        deadlines = [Deadline.after(envelope.budget_s) for envelope in envelopes]
        self._meter.arrived(len(requests))
        try:
            return await batcher.answers(list(zip(requests, deadlines, strict=True)), [*map(Flow.of, envelopes)])
        finally:
            self._meter.left(len(requests))

    async def search_messages(self, messages: list[list[Timed]]) -> list[list[Any]]:
        """One search for the requests of all `messages` but the late ones; the rankings by message again."""
        return await self.answer_messages(self._search.search, messages)

    async def answer_messages(self, work: Work, messages: list[list[Timed]]) -> list[list[Any]]:
        """One call of `work` for the requests of all `messages` but the late ones; its answers by message again."""
        timed = [request for message in messages for request in message]
        is_late = [not deadline.remaining_s() for _, deadline in timed]
        requests = [request for (request, _), late in zip(timed, is_late, strict=True) if not late]
        if num_late := len(timed) - len(requests):
            STAGE_DROPPED.labels(self.stage, "deadline_exceeded").inc(num_late)
        start = time.perf_counter()
        results = iter(await self.answer_all(work, requests) if requests else [])
        self._meter.worked(len(requests), time.perf_counter() - start)
        answers = iter([DeadlineExceededError("search", 0.0) if late else next(results) for late in is_late])
        return [[next(answers) for _ in message] for message in messages]

    async def search_all(self, requests: list[Any]) -> list[Any]:
        """A ranking for each request, in order; an error in the place of a request that failed."""
        return await self.answer_all(self._search.search, requests)

    async def answer_all(self, work: Work, requests: list[Any]) -> list[Any]:
        """An answer for each request, in order; an error in the place of a request that failed."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._compute, self._now, work, requests)
        except RagError as error:
            if len(requests) == 1:
                return [error]
        # One request is to blame, perhaps for an unknown vector store. Try each alone, so that only that one fails.
        return [(await self.answer_all(work, [request]))[0] for request in requests]

    def _now(self, work: Work, requests: list[Any]) -> list[Any]:
        with self._liveness.working():
            return work(requests)

    async def _maintain(self) -> None:
        """Catch up with the log in the background, a step at a time, so that searches get in between."""
        while True:
            try:
                has_more = await asyncio.get_running_loop().run_in_executor(self._compute, self.maintain_step)
            except (*STORAGE_ERRORS, OSError) as error:  # a full disk, or a database that is gone
                logger.warning("the index is not kept up to date for now: %s", error)
                has_more = False
            await asyncio.sleep(0 if has_more else MAINTAIN_S)

    def maintain_step(self) -> bool:
        """One step of it. Returns whether there is more."""
        has_more = self._search.maintain()
        if not has_more:
            self._is_fresh()
        return has_more

    def _is_fresh(self) -> None:
        """The indexes have every change."""
        INDEX_FRESH.labels(self.stage).set_to_current_time()
        if (num_chunks := self._search.num_chunks) is not None:
            INDEX_CHUNKS.labels(self.stage).set(num_chunks)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Read by Serve: see deployments/autoscaling.py."""
        return self._meter.stats()

    async def status(self) -> StageStatus:
        await self._check()
        states = tuple((name, breaker.state) for name, breaker in self._search.dependencies.items())
        return StageStatus(dependencies=states)

    async def check_health(self) -> None:
        """Serve's probe. A database that is gone is no reason to begin again: no new replica would have it."""
        with suppress(*STORAGE_ERRORS):
            await self._check()

    async def _check(self) -> None:
        """See Liveness. The background work runs, and while nobody searches the database answers."""
        if self._maintenance is not None and self._maintenance.done():
            raise StageUnavailableError("search") from self._maintenance.exception()
        await self._liveness.check(lambda: asyncio.to_thread(self._corpus.views.heads, [("", "")]))
