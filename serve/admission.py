"""Limits the questions that one ingress replica works on at once. Further ones are refused before any work.

Little's law: with N questions under way and X answered a second, a question takes N / X seconds. At full capacity X is
constant, so each further question only makes all of them slower, until answers come too late to be useful.
text-embeddings-inference limits its requests by permits in the same way.
"""

import asyncio
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry.metrics.http import ADMISSION_LIMIT, ADMISSION_ONGOING, ADMISSION_REFUSED
from models.errors.limits import OverloadedError

STAGE = "ingress"
MAX_QUESTIONS = 4096
LAST_WEIGHT = 0.05  # weight of the last question in the mean time of a question
MAX_WAIT_S = 2.0  # of a tenant below its share, for a place
REFUSAL_S = 1.0  # for which a refusal is held back; Retry-After says no less
MIN_RETRY_S, MAX_RETRY_S = 1.0, 60.0  # OpenAI's clients wait a minute at most


class AdmissionConfig(BaseModel):
    """The limit of one ingress replica."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_questions: int = Field(
        default=64,
        ge=1,
        le=MAX_QUESTIONS,
        description="Requests for answers, passages, vectors or scores at once; further ones get 429.",
    )
    max_shared_retrievals: int = Field(
        default=8,
        ge=1,
        le=MAX_QUESTIONS,
        description="Retrievals at once while several tenants ask, which take turns; a tenant alone has no such limit.",
    )


class Admission:
    """Gives out permits, one a question. Belongs to one event loop.

    One tenant may have all of them. But then a question of a tenant below its fair share waits for the next one that is
    free, and goes before further questions of a tenant above its share, which are refused.
    """

    def __init__(self, config: Callable[[], AdmissionConfig], clock: Callable[[], float] = perf_counter) -> None:
        """`config` returns the present limit, which may change while questions are under way."""
        self._config, self._clock = config, clock
        self._mean_s = 0.0
        self.num_under_way = 0
        self._of_tenant: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._refused: Counter[str] = Counter()  # in this second, by tenant
        self._second = 0

    @property
    def retry_after_s(self) -> float:
        """Whole seconds until the questions under way have left: the mean time of the last questions."""
        return min(max(MIN_RETRY_S, math.ceil(self._mean_s)), MAX_RETRY_S)

    def check(self, tenant: str = "") -> None:
        """Raises OverloadedError for a question that finds no place and may not wait for one."""
        limit = self._config().max_questions
        ADMISSION_LIMIT.set(limit)
        if self._has_room():
            return
        tenants = self._of_tenant.keys() | self._waiting.keys() | {tenant}
        taken = self._of_tenant[tenant] + len(self._waiting.get(tenant, ()))
        if len(tenants) == 1 or taken >= max(1, limit // len(tenants)):
            self._refuse()

    @asynccontextmanager
    async def admit(self, tenant: str = "") -> AsyncIterator[None]:
        """Hold a permit until the answer has ended, a streamed one too.

        Raises OverloadedError if all permits are taken, after MAX_WAIT_S for a tenant below its share.
        """
        self.check(tenant)
        if self._has_room():
            self._take(tenant)
        else:
            await self._wait(tenant)
        start = self._clock()
        try:
            yield
        finally:
            self._give_back(tenant)
            self._mean_s += LAST_WEIGHT * (self._clock() - start - self._mean_s)

    async def hold_back(self, tenant: str) -> None:
        """Wait before a refusal is sent to a tenant that was refused `max_questions` times within this second.

        Clients that ignore Retry-After would take the processor from the answers of all.
        """
        second = int(self._clock())
        if second != self._second:
            self._refused.clear()
            self._second = second
        self._refused[tenant] += 1
        if self._refused[tenant] > self._config().max_questions:
            await asyncio.sleep(REFUSAL_S)

    def _has_room(self) -> bool:
        return self.num_under_way < self._config().max_questions and not self._waiting

    def _refuse(self) -> NoReturn:
        ADMISSION_REFUSED.inc()
        raise OverloadedError(STAGE, self.retry_after_s)

    def _take(self, tenant: str) -> None:
        self.num_under_way += 1
        self._of_tenant[tenant] += 1
        ADMISSION_ONGOING.set(self.num_under_way)

    def _give_back(self, tenant: str) -> None:
        self.num_under_way -= 1
        self._of_tenant[tenant] -= 1
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
        ADMISSION_ONGOING.set(self.num_under_way)
        self._pass_on()

    def _pass_on(self) -> None:
        """Give free permits to the waiting tenant that has the fewest."""
        while self._waiting and self.num_under_way < self._config().max_questions:
            tenant = min(self._waiting, key=lambda name: self._of_tenant[name])
            place = self._waiting[tenant].popleft()
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            self._take(tenant)
            place.set_result(None)

    async def _wait(self, tenant: str) -> None:
        """Wait for a permit, which is then taken."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(place)
        try:
            await asyncio.wait({place}, timeout=MAX_WAIT_S)
        except asyncio.CancelledError:
            if place.done():
                self._give_back(tenant)
            else:
                self._leave(tenant, place)
            raise
        if not place.done():
            self._leave(tenant, place)
            self._refuse()

    def _leave(self, tenant: str, place: "asyncio.Future[None]") -> None:
        self._waiting[tenant].remove(place)
        if not self._waiting[tenant]:
            del self._waiting[tenant]
