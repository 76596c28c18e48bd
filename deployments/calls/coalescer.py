"""Concurrent calls of one stage share a message: a hop between replicas often costs more than the work it carries."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployments.calls.envelope import Envelope
from deployments.telemetry.logs import ids_of, log_as
from models.errors.base import RagError
from models.errors.stages import DeadlineExceededError, InternalError, StageUnavailableError
from models.types.request_context import RequestContext

logger = logging.getLogger(__name__)


class CoalescingConfig(BaseModel):
    """How calls of one process share messages. A call is never delayed while no other message is on its way."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_items: int = Field(default=32, ge=1, le=1024, description="Most calls in one message; 1 sends each call alone.")
    max_wait_s: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Longest time that a call waits for calls to share its message, in seconds, while another message "
        "is on its way. If messages take longer than twice this time, a fifth of it.",
    )


AS_SHIPPED = CoalescingConfig()
# A message that takes longer than this many waits carries work that its replica batches by itself. Waiting for more
# calls then only delays the next batch.
LONG_IN_WAITS = 2.0
SHORT_WAIT = 0.2  # of max_wait_s
SLOWER_WEIGHT = 0.05  # of a slower message in the estimate of a quick one


@dataclass(frozen=True, eq=False)
class SharedCall:
    """One caller's item in a message, and the future that gets its answer."""

    item: Any
    context: RequestContext
    answer: asyncio.Future[Any]


Send = Callable[[list[Any], list[Envelope]], Awaitable[Sequence[Any]]]


class Coalescer:
    """Gathers calls into messages. Belongs to one event loop.

    `send` takes the items and an Envelope for each, and returns an answer for each, in order: a RagError in the place
    of an item that failed alone. An error that `send` raises fails every call of its message. It is cancelled once all
    callers of the message have left.
    """

    def __init__(self, send: Send, config: CoalescingConfig, stage: str) -> None:
        self._send = send
        self._config = config
        self._stage = stage
        self._waiting: list[SharedCall] = []
        self._messages: set[asyncio.Task[None]] = set()  # owned here until their answers are delivered
        self._num_alone = 0  # calls on their way without a task of their own
        self._quick_s = 0.0  # the time of a quick message
        self._flushing: asyncio.Handle | None = None  # the next flush

    async def call(self, item: Any, context: RequestContext) -> Any:
        """The answer to `item`. Raises DeadlineExceededError, or the error of the item or of the message."""
        budget_s, answer = context.remaining_s(), asyncio.get_running_loop().create_future()
        call, is_first = SharedCall(item, context, answer), not (self._waiting or self._num_on_their_way())
        self._waiting.append(call)
        if not is_first or self._config.max_items == 1:
            self._plan()
        elif await self._is_alone(call):
            return await self._send_alone(call, budget_s)
        # A timer of its own is cheaper than asyncio.timeout, and this is where every request passes.
        timer = asyncio.get_running_loop().call_later(budget_s, _settle, answer, self._too_late(budget_s))
        try:
            return await answer
        finally:
            timer.cancel()

    def _too_late(self, budget_s: float) -> DeadlineExceededError:
        return DeadlineExceededError(self._stage, budget_s)

    async def _is_alone(self, call: SharedCall) -> bool:
        """Whether no other call comes in this turn of the event loop; `call` is the first, with nothing on its way.

        If others come, they are sent in one message.
        """
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            call.answer.cancel()  # the flush skips it
            self._flush_if_idle()
            raise
        if self._waiting == [call]:
            self._waiting.clear()
            return True
        self._flush_if_idle()
        return False

    async def _send_alone(self, call: SharedCall, budget_s: float) -> Any:
        """Send a single call from its caller: a task of its own would cost as much as the sending."""
        self._num_alone += 1
        try:
            async with asyncio.timeout(budget_s):
                answers = await self._send_message([call])
        except TimeoutError:
            raise self._too_late(budget_s) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the caller left
            raise StageUnavailableError(self._stage) from None  # the replica was cancelled
        finally:
            self._num_alone -= 1
            self._flush_if_idle()
        return value_of(answers, self._stage)

    def _plan(self) -> None:
        """Send the waiting calls now if they fill a message, or within `max_wait_s` if another is on its way.

        Otherwise the first call of this turn sends them.
        """
        if len(self._waiting) >= self._config.max_items:
            self._flush()
        elif self._flushing is None and self._num_on_their_way():
            loop = asyncio.get_running_loop()
            self._flushing = loop.call_later(wait_s(self._config, self._quick_s), self._flush)

    def _num_on_their_way(self) -> int:
        return len(self._messages) + self._num_alone

    def _flush(self) -> None:
        """Send the waiting calls, without those whose caller has left."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        calls, self._waiting = [call for call in self._waiting if not call.answer.done()], []
        for of_message in self._divided(calls):
            message = asyncio.get_running_loop().create_task(self._deliver(of_message))
            self._messages.add(message)
            message.add_done_callback(self._delivered)

    def _divided(self, calls: list[SharedCall]) -> Iterable[list[SharedCall]]:
        """Into messages: one, or one a tenant where messages take long.

        All of a message is answered at once, so that a tenant would wait for the work of those beside it.
        """
        if not is_long(self._config, self._quick_s):
            return [calls] if calls else []
        of_tenant: dict[str, list[SharedCall]] = {}
        for call in calls:
            of_tenant.setdefault(call.context.tenant, []).append(call)
        return of_tenant.values()

    def _delivered(self, message: asyncio.Task[None]) -> None:
        self._messages.discard(message)
        self._flush_if_idle()

    def _flush_if_idle(self) -> None:
        """Nothing is on its way any more: the waiting calls need not wait longer."""
        if not self._num_on_their_way():
            self._flush()

    async def _send_message(self, calls: list[SharedCall]) -> Sequence[Any]:
        start = time.perf_counter()
        answers = await self._send([call.item for call in calls], [Envelope.of(call.context) for call in calls])
        self._quick_s = quick_s(self._quick_s, time.perf_counter() - start)
        return answers

    async def _deliver(self, calls: list[SharedCall]) -> None:
        """Send one message and deliver its answers. Every caller gets an answer or an error, whatever happens."""
        answers: Sequence[Any] = ()
        try:
            with _cancel_when_all_left(calls):
                answers = await self._send_message(calls)
        except RagError as error:
            answers = [error] * len(calls)
        finally:
            # Without answers the replica was cancelled, or it broke the contract.
            missing = [StageUnavailableError(self._stage)] * (len(calls) - len(answers))
            for call, answer in zip(calls, [*answers, *missing], strict=False):
                _settle(call.answer, answer)


def wait_s(config: CoalescingConfig, message_s: float) -> float:
    """The longest wait of a call for others, if a quick message takes `message_s`."""
    return config.max_wait_s * (SHORT_WAIT if is_long(config, message_s) else 1.0)


def is_long(config: CoalescingConfig, message_s: float) -> bool:
    """Whether a quick message takes so long that its replica batches by itself."""
    return message_s > LONG_IN_WAITS * config.max_wait_s


def quick_s(before_s: float, took_s: float) -> float:
    """The new estimate of a quick message's time, after one that took `took_s`; `before_s` is 0 before the first.

    A quicker message sets it at once, a slower one moves it slowly: in a busy process most messages wait for the
    process itself.
    """
    return min(took_s, before_s + SLOWER_WEIGHT * (took_s - before_s)) if before_s else took_s


async def answers_of(stage: str, envelopes: Sequence[Envelope], calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """In a replica: the result of each call of a message, in order; a RagError in the place of one that failed.

    An unexpected failure is logged, and becomes an InternalError.
    """
    logged = map(_logged, envelopes, calls)
    results = await asyncio.gather(*logged, return_exceptions=True)
    return [_answer(stage, envelope, result) for envelope, result in zip(envelopes, results, strict=True)]


async def _logged(envelope: Envelope, call: Awaitable[Any]) -> Any:
    log_as(envelope)
    return await call


def _answer(stage: str, envelope: Envelope, result: Any) -> Any:
    if isinstance(result, RagError) or not isinstance(result, BaseException):
        return result
    if isinstance(result, asyncio.CancelledError):
        return StageUnavailableError(stage)
    logger.error("stage %s failed", stage, exc_info=result, extra=ids_of([envelope]))
    return InternalError(stage)


@contextmanager
def _cancel_when_all_left(calls: list[SharedCall]) -> Iterator[None]:
    """Cancel the current task once the callers of all `calls` have left."""
    task, num_callers = asyncio.current_task(), len(calls)
    assert task is not None

    def on_leave(_: asyncio.Future[Any]) -> None:
        nonlocal num_callers
        num_callers -= 1
        if not num_callers:
            task.cancel()

    for call in calls:
        call.answer.add_done_callback(on_leave)
    try:
        yield
    finally:
        for call in calls:
            call.answer.remove_done_callback(on_leave)


def value_of(answers: Sequence[Any], stage: str) -> Any:
    """The answer to a message of one item. Raises it if it is an error."""
    answer = answers[0] if answers else StageUnavailableError(stage)
    if isinstance(answer, RagError):
        raise answer
    return answer


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, RagError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
