"""Tenants take turns in retrieval, which takes most of an ingress' own processor time for a question."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from deployments.replica.fair_shares import FairTurns, Flow
from models.errors.stages import DeadlineExceededError
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext
from models.types.scope import CANARY_TENANT
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace

STAGE = "retrieve"
RECENT_S = 60.0  # after its last question, a tenant no longer counts


class RetrievalTurns:
    """The retrievals of one process: those under way, and the tenants that asked lately. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns = FairTurns(STAGE)
        self._asked_at: dict[str, float] = {}  # by tenant, in this order

    @asynccontextmanager
    async def turn(self, context: RequestContext, max_at_once: int) -> AsyncIterator[None]:
        """Hold a place while the block runs. Raises DeadlineExceededError if none is free in time."""
        # The canary asks every few minutes, and is no reason for a limit of others.
        if context.tenant == CANARY_TENANT or not self._has_several(context.tenant):
            yield
            return
        budget_s = context.remaining_s()
        flow = Flow(context.tenant, context.priority <= BACKGROUND_PRIORITY)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(budget_s):
                    await stack.enter_async_context(self._turns.turn(flow, max_at_once))
            except TimeoutError:
                raise DeadlineExceededError(STAGE, budget_s) from None
            yield

    def _has_several(self, tenant: str) -> bool:
        """Whether another tenant asked lately too."""
        now = self._clock()
        self._asked_at.pop(tenant, None)
        self._asked_at[tenant] = now
        while self._asked_at[oldest := next(iter(self._asked_at))] < now - RECENT_S:
            del self._asked_at[oldest]
        return len(self._asked_at) > 1


class FairRetrieval:
    """Satisfies Retrieving. While several tenants ask, `max_at_once` retrievals are under way, and tenants take turns.

    Without it, a question shares the event loop with all those of another tenant: its steps come in the order of
    arrival, whatever the shares of the stages. A tenant alone never waits here.
    """

    def __init__(self, retrieval: Retrieving, turns: RetrievalTurns, max_at_once: int) -> None:
        self._retrieval, self._turns, self._max_at_once = retrieval, turns, max_at_once

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        async with self._turns.turn(context, self._max_at_once):
            return await self._retrieval.retrieve(query, context, trace)
