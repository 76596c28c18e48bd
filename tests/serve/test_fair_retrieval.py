"""Several tenants in one ingress: whose retrieval comes next, and that a tenant alone is not held up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from models.deadline import Deadline
from models.errors.stages import DeadlineExceededError
from models.types.request_context import RequestContext
from models.types.scope import CANARY_TENANT, Scope
from serve.pipelines.fair_retrieval import RECENT_S, FairRetrieval, RetrievalTurns
from serve.pipelines.retrieving import RetrievalOptions, RetrievalQuery, Retrieved
from serve.pipelines.trace import Trace
from tests.patience import PATIENCE_S

LOUD, QUIET = "loud", "quiet"
AT_ONCE = 4


class Retrieval:
    """Ends its retrievals one by one, as a test says, in the order in which they began."""

    def __init__(self) -> None:
        self.begun: list[str] = []  # tenants
        self._ends: list[asyncio.Event] = []

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        self.begun.append(context.tenant)
        end = asyncio.Event()
        self._ends.append(end)
        await end.wait()
        return Retrieved((), {}, Trace(), 0)

    async def end_first(self) -> None:
        self._ends.pop(0).set()
        await settle()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Asking:
    """Questions of tenants, through one FairRetrieval."""

    def __init__(self) -> None:
        self.clock, self.inner, self.tasks = Clock(), Retrieval(), list[asyncio.Task[Retrieved]]()
        self._retrieval = FairRetrieval(self.inner, RetrievalTurns(self.clock), AT_ONCE)

    async def ask(self, tenant: str, count: int = 1, budget_s: float = PATIENCE_S) -> None:
        for _ in range(count):
            context = RequestContext("req", tenant, Deadline.after(budget_s))
            query = RetrievalQuery("oven", Scope(tenant, ("default",)), 3, RetrievalOptions())
            self.tasks.append(asyncio.ensure_future(self._retrieval.retrieve(query, context)))
        await settle()


@asynccontextmanager
async def asking() -> AsyncIterator[Asking]:
    tenants = Asking()
    yield tenants
    for task in tenants.tasks:
        task.cancel()
    await asyncio.gather(*tenants.tasks, return_exceptions=True)


async def test_a_tenant_alone_has_all_its_retrievals_at_once() -> None:
    async with asking() as tenants:
        await tenants.ask(LOUD, 20)

        assert tenants.inner.begun == [LOUD] * 20


async def test_the_canary_neither_waits_nor_holds_a_tenant_up() -> None:
    async with asking() as tenants:
        await tenants.ask(CANARY_TENANT)
        await tenants.ask(LOUD, 20)
        await tenants.ask(CANARY_TENANT)

        assert tenants.inner.begun == [CANARY_TENANT] + [LOUD] * 20 + [CANARY_TENANT]


async def test_a_question_waits_for_few_of_another_tenants_sixty() -> None:
    async with asking() as tenants:
        await tenants.ask(QUIET)
        await tenants.inner.end_first()
        await tenants.ask(LOUD, 60)
        assert tenants.inner.begun == [QUIET] + [LOUD] * AT_ONCE

        await tenants.ask(QUIET, 2)
        await tenants.inner.end_first()
        assert tenants.inner.begun[-1] == QUIET

        for _ in range(12):
            await tenants.inner.end_first()
        assert tenants.inner.begun.count(QUIET) == 3


async def test_all_are_answered() -> None:
    async with asking() as tenants:
        await tenants.ask(QUIET)
        await tenants.ask(LOUD, 30)
        await tenants.ask(QUIET, 5)
        for _ in range(36):
            await tenants.inner.end_first()

        assert all(task.done() and not task.exception() for task in tenants.tasks)


async def test_a_tenant_that_left_holds_nobody_up() -> None:
    async with asking() as tenants:
        await tenants.ask(QUIET)
        await tenants.inner.end_first()
        tenants.clock.now += RECENT_S + 1
        await tenants.ask(LOUD, 20)

        assert tenants.inner.begun == [QUIET] + [LOUD] * 20


async def test_a_question_without_a_turn_ends_at_its_deadline_and_takes_no_place() -> None:
    async with asking() as tenants:
        await tenants.ask(QUIET)
        await tenants.inner.end_first()
        await tenants.ask(LOUD, AT_ONCE)
        await tenants.ask(QUIET, budget_s=0.01)
        with pytest.raises(DeadlineExceededError, match="retrieve"):
            await tenants.tasks[-1]

        await tenants.ask(LOUD)
        await tenants.inner.end_first()
        assert tenants.inner.begun == [QUIET] + [LOUD] * (AT_ONCE + 1)
