"""The breaker of a stage, at its caller: questions do not wait for a stage that does not answer."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from pydantic import Field

from deployments.telemetry import metrics
from models.breaker import Breaker, BreakerConfig, State
from models.errors import (
    BreakerOpenError,
    DeadlineExceededError,
    InternalError,
    OverloadedError,
    RagError,
    StageUnavailableError,
)

logger = logging.getLogger(__name__)

PROBE_PERIOD_S = 1.0
SLOW_S = 0.5  # an error that comes sooner costs no question its time


class StageBreakerConfig(BreakerConfig):
    """When an ingress stops calling a stage."""

    enabled: bool = Field(default=True, description="false: every question waits for a dead stage as long as it may.")
    min_budget_s: float = Field(
        default=3.0,
        gt=0,
        le=3600,
        description="A late call counts as a failure if it had so many seconds. So a client's short deadline opens "
        "nothing. Keep it below retrieval.search_s and retrieval.rerank_s.",
    )
    first_item_s: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="A stream that sends nothing for so long counts as a failure, also if its reader leaves then. "
        "Keep it below query.first_text_s.",
    )


AS_SHIPPED = StageBreakerConfig()


class StageBreaker:
    """Closed: calls pass. Open: none does, and while questions come, the stage's status is asked beside them.

    Half open: one question tries the stage, and its outcome decides. That is at once if a replica answers again, and
    after `open_s` if one answered all the time. So a dead stage costs no question its budget, and a slow stage costs
    one question every `open_s`. Belongs to one event loop.
    """

    def __init__(
        self,
        stage: str,
        ask_status: Callable[[], Awaitable[object]],
        config: StageBreakerConfig = AS_SHIPPED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask_status` raises RagError if no replica answers."""
        self._stage, self._ask_status, self._config, self._clock = stage, ask_status, config, clock
        self._breaker = Breaker(config, clock)
        self._answers: bool | None = None  # the last status, since the breaker opened
        self._is_back = False  # a replica answers that did not before
        self._probe: asyncio.Task[None] | None = None
        self._probe_at = 0.0

    @property
    def state(self) -> State:
        if not self._breaker.is_open or not self._config.enabled:
            return "closed"
        return "half_open" if self._may_try else "open"

    @property
    def _may_try(self) -> bool:
        return self._is_back or (bool(self._answers) and not self._breaker.pause_s)

    def configure(self, config: StageBreakerConfig) -> None:
        self._config = config
        self._breaker.configure(config)

    def admit(self) -> None:
        """Raises BreakerOpenError at once if the call must not be sent."""
        if self.state == "closed":
            return
        if self._may_try:
            self._is_back = False
            self._breaker.wait()  # keeps the others out until the outcome, but for open_s at most
            return
        self._ask()
        raise BreakerOpenError(self._stage, max(1.0, self._breaker.pause_s))

    def succeeded(self) -> None:
        """A replica answered, be it with a refusal."""
        if self._breaker.is_open:
            logger.warning("stage %s answers again, so it is called again", self._stage)
            metrics.OPEN_BREAKERS.labels(self._stage).dec()
        self._breaker.succeed()

    def failed(self, error: RagError, budget_s: float, elapsed_s: float) -> None:
        """What the call raised, the seconds that it had, and those that it took.

        An error that comes at once costs nothing, and a full queue or a bug says nothing about the next call.
        """
        match error:
            case DeadlineExceededError():
                is_failure = budget_s >= self._config.min_budget_s
            case StageUnavailableError():
                is_failure = not isinstance(error, BreakerOpenError) and elapsed_s >= SLOW_S
            case OverloadedError() | InternalError():
                is_failure = False
            case _:
                return self.succeeded()
        if is_failure:
            self._fail(error)

    def cut_short(self, error: DeadlineExceededError, given_s: float, budget_s: float) -> None:
        """A late call had `given_s` alone, because its caller has a fallback for the other part of `budget_s`."""
        if given_s < self._config.min_budget_s <= budget_s:  # else `failed` has judged it
            self._fail(error)

    def left(self, waited_s: float) -> None:
        """The reader of a stream that had sent nothing left after so long."""
        if waited_s >= self._config.first_item_s:
            self._fail(DeadlineExceededError(self._stage, waited_s))

    def _fail(self, error: RagError) -> None:
        was_open = self._breaker.is_open
        self._breaker.fail()
        self._answers, self._is_back = None, False
        if self._breaker.is_open and not was_open:
            logger.warning("stage %s is left out of questions for now: %s", self._stage, error)
            metrics.OPEN_BREAKERS.labels(self._stage).inc()

    def _ask(self) -> None:
        """Ask for the status beside the questions, at most every PROBE_PERIOD_S."""
        if self._probe is None and self._clock() >= self._probe_at:
            self._probe_at = self._clock() + PROBE_PERIOD_S
            self._probe = asyncio.get_running_loop().create_task(self._note_status())

    async def _note_status(self) -> None:
        try:
            await self._ask_status()
        except RagError:
            self._answers = False
        else:
            self._is_back = self._answers is False
            self._answers = True
        finally:
            self._probe = None
