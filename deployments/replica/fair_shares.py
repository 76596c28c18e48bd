"""Fair shares of a stage: whose work comes next, when more is queued than the stage can do at once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import perf_counter
from typing import NamedTuple

from deployments.calls.envelope import Envelope
from models.errors.limits import OverloadedError
from models.generation.base import EngineActivity
from models.types.request_context import BACKGROUND_PRIORITY

BACKGROUND_WEIGHT = 0.25  # a tenant's background work gets a quarter of what its questions get
MAX_IDLE_FLOWS = 1024
SPARE = 8  # an engine gets one request more for so many, and has the next one when one ends
LAST_WEIGHT = 0.1  # of the last request in the mean time of a request


class Flow(NamedTuple):
    """The work that has one share: a tenant's questions, or its work in the background."""

    tenant: str = ""
    is_background: bool = False

    @staticmethod
    def of(envelope: Envelope) -> "Flow":
        return Flow(envelope.tenant, envelope.priority <= BACKGROUND_PRIORITY)

    @property
    def weight(self) -> float:
        return BACKGROUND_WEIGHT if self.is_background else 1.0


NO_FLOW = Flow()


class FairShares:
    """Start-time fair queueing: each flow gets the same service, weighted, and who was idle saved nothing up.

    A flow's next work starts where its last ended, in units of service, but not before the work that is served now.
    The earliest start comes next. So a flow that was idle waits for the work under way alone, whatever others queue.
    Source: Goyal, Vin, Cheng, Start-time Fair Queueing, SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._ends: dict[Flow, float] = {}  # of the flows' last work
        self._now = 0.0  # the start of the work that is served now
        self._max_ends = MAX_IDLE_FLOWS

    def start_of(self, flow: Flow) -> float:
        """The start of the flow's next work."""
        return max(self._ends.get(flow, 0.0), self._now)

    def next_of(self, flows: Iterable[Flow]) -> Flow:
        """The flow that comes next; of several, the first."""
        return min(flows, key=self.start_of)

    def begin(self, flow: Flow) -> None:
        """Note that the flow's work is served now."""
        self._now = self.start_of(flow)

    def charge(self, flow: Flow, cost: float) -> None:
        """Count service, such as tokens; a negative cost takes some back."""
        self._ends[flow] = self.start_of(flow) + cost / flow.weight
        if len(self._ends) > self._max_ends:
            self._ends = {each: end for each, end in self._ends.items() if end > self._now}
            self._max_ends = MAX_IDLE_FLOWS + 2 * len(self._ends)

    def forget(self) -> None:
        """Begin anew, as nothing is queued."""
        self._ends.clear()
        self._now = 0.0


class FairTurns:
    """Lets so many requests run at once; the others wait, and flows take turns.

    A request is charged the seconds that it ran: the mean time first, and the difference at its end. Belongs to one
    event loop.
    """

    def __init__(self, stage: str) -> None:
        self._stage, self._shares = stage, FairShares()
        self._waiting: dict[Flow, deque[asyncio.Future[None]]] = {}
        self._limit = 0
        self._mean_s = 1.0
        self.num_running = 0

    def engine_turn(self, flow: Flow, engine: EngineActivity) -> AbstractAsyncContextManager[None]:
        """As `turn`, for what the engine runs at once and a request to spare. Without a queue it limits nothing."""
        if engine.max_waiting == 0:
            return nullcontext()
        return self.turn(flow, engine.max_running + max(1, engine.max_running // SPARE), engine.max_waiting)

    @asynccontextmanager
    async def turn(self, flow: Flow, max_at_once: int, max_waiting: int | None = None) -> AsyncIterator[None]:
        """Hold one of `max_at_once` places while the block runs. `max_waiting` None: any number may wait.

        Raises OverloadedError if the flow's share of the queue is full.
        """
        self._limit = max_at_once
        if self._has_room() and not self._waiting:
            self._take(flow)
        else:
            self._check(flow, max_waiting)
            await self._wait(flow)
        start, charged_s = perf_counter(), self._mean_s
        try:
            yield
        finally:
            took_s = perf_counter() - start
            self._mean_s += LAST_WEIGHT * (took_s - self._mean_s)
            self._shares.charge(flow, took_s - charged_s)
            self._leave()

    def _has_room(self) -> bool:
        return self.num_running < self._limit

    def _check(self, flow: Flow, max_waiting: int | None) -> None:
        """Raises OverloadedError."""
        if max_waiting is None or sum(map(len, self._waiting.values())) < max_waiting:
            return
        share = max_waiting // len({flow, *self._waiting})
        if len(self._waiting) <= (flow in self._waiting) or len(self._waiting.get(flow, ())) >= max(1, share):
            raise OverloadedError(self._stage)

    def _take(self, flow: Flow) -> None:
        self.num_running += 1
        self._shares.begin(flow)
        self._shares.charge(flow, self._mean_s)

    def _leave(self) -> None:
        self.num_running -= 1
        while self._waiting and self._has_room():
            flow = self._shares.next_of(self._waiting)
            place = self._waiting[flow].popleft()
            self._drop_if_empty(flow)
            self._take(flow)
            place.set_result(None)
        if not self.num_running:
            self._shares.forget()

    async def _wait(self, flow: Flow) -> None:
        """Wait for a place, which is then taken."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(flow, deque()).append(place)
        try:
            await asyncio.wait({place})
        except asyncio.CancelledError:
            if place.done():
                self._leave()
            else:
                self._waiting[flow].remove(place)
                self._drop_if_empty(flow)
            raise

    def _drop_if_empty(self, flow: Flow) -> None:
        if not self._waiting[flow]:
            del self._waiting[flow]
