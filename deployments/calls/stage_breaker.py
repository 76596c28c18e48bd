"""The breaker of a stage, at its caller: questions do not wait for a stage that does not answer."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

from pydantic import Field

from deployments.calls.waiting_calls import TICK_S, Repeat, SecondCall, WaitingCall, WaitingCalls
from deployments.telemetry.metrics.stages import breaker_counter
from models.breaker import Breaker, BreakerConfig, State
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.stages import BreakerOpenError, DeadlineExceededError, InternalError, StageUnavailableError
from models.errors.storage import DatabaseUnavailableError, VectorDatabaseUnavailableError

logger = logging.getLogger(__name__)

PROBE_PERIOD_S = 1.0
ASK_AFTER_S = 1.0  # of silence
SLOW_S = 0.5  # an error that comes sooner costs no question its time
# A stage that has said nothing for longer may have no replica left, and then start one: so a call waits as long as it
# may.
WARM_S = 30.0
# After a late call the next ones wait as long as the slowest of the last answers took, times this.
SUSPECT_TIMES = 4.0
STREAM_SILENCE = 0.5  # of first_item_s
FORGET = 0.98  # of the slowest answer's time, at each answer


class StageBreakerConfig(BreakerConfig):
    """When an ingress stops calling a stage."""

    enabled: bool = Field(default=True, description="false: every question waits for a dead stage as long as it may.")
    open_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Time between two trials, in seconds, of a stage that answers its status and not its calls.",
    )
    silence_s: float = Field(
        default=4.0,
        ge=1.5,
        le=3600,
        description="A stage that was answering, and now answers neither a call nor the question for its status for "
        "so long, is left out, and the calls that wait for it end. Of streams alone, at least half of first_item_s. "
        "Keep it below retrieval.search_s.",
    )
    min_budget_s: float = Field(
        default=3.0,
        gt=0,
        le=3600,
        description="A late call counts as a failure if it had so many seconds, and the stage answered no other call "
        "meanwhile. So a client's short deadline opens nothing. Keep it below retrieval.search_s and rerank_s.",
    )
    first_item_s: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="A stream that sends nothing for so long counts as a failure, also if its reader leaves then. "
        "Keep it below query.first_text_s.",
    )
    second_call_s: float | None = Field(
        default=1.5,
        ge=0.5,
        le=3600,
        description="A question that waits for so long, and for four times what slow answers took, while the stage "
        "answers others, is sent to another of its replicas too, once: the first may hang. null: never.",
    )


AS_SHIPPED = StageBreakerConfig()


class StageBreaker:
    """Closed: calls pass. Open: none does, and a trial beside the questions closes it, so no question waits for it.

    It opens after late calls in a row, or as soon as the stage is silent: it answers neither a call nor its status. The
    calls that wait then end at once. The trial is one of the calls that were refused, sent again: at once when a silent
    stage answers its status, and every `open_s` while one that answers its status is late.

    While calls wait it looks at them every TICK_S; a call itself costs it a few attributes. Belongs to one event loop.
    """

    def __init__(
        self,
        stage: str,
        ask_status: Callable[[], Awaitable[object]],
        config: StageBreakerConfig = AS_SHIPPED,
        clock: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """`ask_status` raises RagError if no replica answers. `call_later` None: the event loop's."""
        self._stage, self._ask_status, self._config = stage, ask_status, config
        self._clock, self._call_later = clock, call_later
        self._breaker = Breaker(config, clock, breaker_counter(stage))
        self._waiting = WaitingCalls()
        self._timer: object | None = None
        self._heard_at = self._success_at = -math.inf
        self._has_heard = False  # since the last tick
        self._slow_s = 0.0  # the time of a slow answer
        self._answers: bool | None = None  # the last status
        self._probe: asyncio.Task[None] | None = None
        self._probe_at = -math.inf
        self._trial: tuple[float, Repeat] | None = None
        self._is_trying = False

    @property
    def state(self) -> State:
        if not self._breaker.is_open or not self._config.enabled:
            return "closed"
        return "half_open" if self._is_trying else "open"

    def configure(self, config: StageBreakerConfig) -> None:
        """Count by `config` from now on. Switching the breaker off closes it at once."""
        self._config = config
        self._breaker.configure(config)
        if not config.enabled:
            self._close()

    def admit(
        self, budget_s: float, repeat: Repeat, is_stream: bool = False, second: SecondCall | None = None
    ) -> WaitingCall:
        """Note a call that begins. Raises BreakerOpenError at once if it must not be sent."""
        call = WaitingCall(budget_s, self._clock(), repeat, is_stream, second)
        self._start()
        if self.state != "closed":
            self._keep_for_trial(call)
            raise BreakerOpenError(self._stage, max(1.0, self._breaker.pause_s))
        self._waiting.add(call)
        return call

    def heard(self) -> None:
        """A replica said something, to whatever call."""
        self._heard_at, self._has_heard = self._clock(), True

    def answered(self, call: WaitingCall) -> None:
        """Its answer, or the first item of its stream."""
        if not call.is_answered:
            self.end(call)
            self._succeed(self._clock() - call.began_at)

    def end(self, call: WaitingCall) -> None:
        """Nobody waits for the call any more."""
        call.end()
        self._waiting.discard(call)

    def failed(self, call: WaitingCall, error: RagError) -> None:
        """What the call raised.

        An error that comes at once costs nothing, and a full queue or a bug says nothing about the next call. Nor is
        the stage to blame if it answered another call meanwhile: it is busy.
        """
        self.end(call)
        elapsed_s = self._clock() - call.began_at
        match error:
            case DeadlineExceededError():
                is_failure = call.budget_s >= self._config.min_budget_s
            case DatabaseUnavailableError() | VectorDatabaseUnavailableError():
                is_failure = False  # the replica answers, and has a breaker of that server
            case StageUnavailableError():
                is_failure = not isinstance(error, BreakerOpenError) and elapsed_s >= SLOW_S
            case OverloadedError() | InternalError():
                is_failure = False
            case _:
                return self._succeed(elapsed_s)
        self._keep_for_trial(call)
        if is_failure and call.began_at >= self._success_at:
            self._fail(error)

    def cut_short(self, error: DeadlineExceededError, given_s: float, budget_s: float) -> None:
        """A late call had `given_s` alone, because its caller has a fallback for the other part of `budget_s`."""
        is_busy = self._clock() - given_s < self._success_at
        if given_s < self._config.min_budget_s <= budget_s and not is_busy:  # else `failed` has judged it
            self._fail(error)

    def left(self, call: WaitingCall) -> None:
        """Its caller left."""
        waited_s, is_answered = self._clock() - call.began_at, call.is_answered
        self.end(call)
        if call.is_stream and not is_answered and waited_s >= self._config.first_item_s:
            self._keep_for_trial(call)
            self._fail(DeadlineExceededError(self._stage, waited_s))

    def _succeed(self, elapsed_s: float) -> None:
        self.heard()
        self._success_at = self._heard_at
        self._slow_s = max(elapsed_s, FORGET * self._slow_s)
        if self._breaker.is_open:
            logger.warning("stage %s answers again, so it is called again", self._stage)
        self._close()

    def _close(self) -> None:
        self._trial = None
        self._breaker.succeed()

    def _fail(self, error: RagError) -> None:
        if not self._config.enabled:
            return
        was_open = self._breaker.is_open
        self._breaker.fail()
        if self._breaker.is_open and not was_open:
            self._note_open(error)

    def _open_for_silence(self) -> None:
        for call in self._waiting.all():
            self._keep_for_trial(call)
        self._breaker.trip()
        self._note_open("it answers neither a call nor its status")

    def _note_open(self, reason: RagError | str) -> None:
        logger.warning("stage %s is left out of questions for now: %s", self._stage, reason)
        if self._is_warm:
            for call in self._waiting.all():
                call.release(BreakerOpenError(self._stage, 1.0))
        self._start()

    def _keep_for_trial(self, call: WaitingCall) -> None:
        """The last one, unless its client's deadline is short."""
        if self._trial is None or 2 * call.budget_s >= self._trial[0]:
            self._trial = (call.budget_s, call.repeat)

    @property
    def _is_warm(self) -> bool:
        """Whether the stage was answering when it fell silent."""
        return self._clock() - self._waiting.silent_s - self._heard_at < WARM_S

    @property
    def _silence_s(self) -> float:
        """A language model's process may be busy for longer, and its first text takes long anyway."""
        streams_s = STREAM_SILENCE * self._config.first_item_s if self._waiting.are_streams else 0.0
        return max(self._config.silence_s, streams_s)

    def _start(self) -> None:
        if self._timer is None and self._config.enabled:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            self._timer = call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if not self._config.enabled:
            return
        self._waiting.tick(self._has_heard)
        self._has_heard = False
        if self._breaker.is_open:
            self._ask()
        elif self._waiting:
            self._look()
        if self._breaker.is_open or self._waiting:
            self._start()

    def _look(self) -> None:
        """At the calls that wait."""
        silent_s = self._waiting.silent_s
        if silent_s >= ASK_AFTER_S:
            self._ask()
        if not self._is_warm:
            return
        if silent_s >= self._silence_s and self._answers is False:
            self._open_for_silence()
            return
        if self._breaker.is_suspect:
            limit_s = max(self._config.min_budget_s, SUSPECT_TIMES * self._slow_s)
            for call in self._waiting.older_than(limit_s):
                call.release(DeadlineExceededError(self._stage, limit_s))
        if not silent_s and self._config.second_call_s is not None:
            limit_s = max(self._config.second_call_s, SUSPECT_TIMES * self._slow_s)
            for call in self._waiting.older_than(limit_s):
                call.send_second(self._clock())

    def _ask(self) -> None:
        """Ask for the status beside the questions, at most every PROBE_PERIOD_S, and try the stage if it is due."""
        if self._probe is None and self._clock() >= self._probe_at:
            self._probe_at = self._clock() + PROBE_PERIOD_S
            self._probe = asyncio.get_running_loop().create_task(self._ask_and_try())

    async def _ask_and_try(self) -> None:
        try:
            was_silent, self._answers = self._answers is False, await self._is_answering()
            if self._answers and self._breaker.is_open and (was_silent or not self._breaker.pause_s):
                await self._try()
        finally:
            self._probe = None

    async def _is_answering(self) -> bool:
        try:
            await self._ask_status()
        except OverloadedError:
            pass  # by a full queue: it is busy
        except RagError:
            return False
        self.heard()
        return True

    async def _try(self) -> None:
        """Send a refused call again, once: it may be what kills the replica. Its answer closes the breaker."""
        if self._trial is None:
            return
        (budget_s, repeat), self._trial = self._trial, None
        self._is_trying, start = True, self._clock()
        self._breaker.postpone_trial()
        try:
            await repeat(max(budget_s, self._config.min_budget_s))
        except (DatabaseUnavailableError, VectorDatabaseUnavailableError):
            pass
        except (DeadlineExceededError, StageUnavailableError, OverloadedError) as error:
            logger.warning("stage %s is still left out of questions: %s", self._stage, error)
            return
        except RagError:
            pass  # an answer, though a refusal or a bug
        finally:
            self._is_trying = False
        self._succeed(self._clock() - start)
