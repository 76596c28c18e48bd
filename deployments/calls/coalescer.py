"""Concurrent calls of one stage share a message: a hop between replicas costs more than most of what it carries."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from deployments.calls.envelope import Envelope
from models.errors import DeadlineExceededError, InternalError, RagError, StageUnavailableError
from models.types import RequestContext

logger = logging.getLogger(__name__)


class CoalescingConfig(BaseModel):
    """How calls gather in the process that makes them. An idle one waits for nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_items: int = Field(default=32, ge=1, le=1024, description="Calls of one message; 1 sends each alone.")
    max_wait_s: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="How long a call waits for company while another message is on its way, in seconds, where messages "
        "are answered about as fast; else a fifth of it.",
    )


AS_SHIPPED = CoalescingConfig()
# A message that takes longer than so many waits carries work that its replica batches by itself: there, waiting for
# company only starves the next batch.
LONG_IN_WAITS = 2.0
SHORT_WAIT = 0.2  # of max_wait_s
RECENT = 0.05  # weight of a slower message in the time of a quick one


@dataclass(frozen=True, eq=False)
class SharedCall:
    """One caller's part of a message: what is asked, until when, and where the answer goes."""

    item: Any
    context: RequestContext
    answer: asyncio.Future[Any]


Send = Callable[[list[Any], list[Envelope]], Awaitable[Sequence[Any]]]


class Coalescer:
    """Gathers calls into messages. Belongs to one event loop.

    `send` takes the items and an Envelope for each, and returns an answer for each, in order: a RagError in the place
    of an item that failed alone. What `send` raises fails every call of its message. It is cancelled once nobody
    waits for any of its answers.
    """

    def __init__(self, send: Send, config: CoalescingConfig, stage: str) -> None:
        self._send = send
        self._config = config
        self._stage = stage
        self._waiting: list[SharedCall] = []
        self._messages: set[asyncio.Task[None]] = set()  # owned here: each ends with its answers
        self._num_alone = 0  # calls on their way by themselves
        self._quick_s = 0.0  # that a quick message takes
        self._flushing: asyncio.Handle | None = None  # the next flush

    async def call(self, item: Any, context: RequestContext) -> Any:
        """The answer to `item`. Raises DeadlineExceededError, or what became of the message or of the item."""
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
        """Of the first call while nothing is on its way: whether this turn of the loop brings no other.

        If it brings any, they are sent together.
        """
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            call.answer.cancel()  # it has left, and is passed over
            self._go_on()
            raise
        if self._waiting == [call]:
            self._waiting.clear()
            return True
        self._go_on()
        return False

    async def _send_alone(self, call: SharedCall, budget_s: float) -> Any:
        """A message of one, sent by its caller: without a task of its own, which costs as much as the sending."""
        self._num_alone += 1
        try:
            async with asyncio.timeout(budget_s):
                answers = await self._sent([call])
        except TimeoutError:
            raise self._too_late(budget_s) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the caller left
            raise StageUnavailableError(self._stage) from None  # it was the replica that was cancelled
        finally:
            self._num_alone -= 1
            self._go_on()
        return _value_of(answers[0] if answers else StageUnavailableError(self._stage))

    def _plan(self) -> None:
        """When what waits is sent: now if it fills a message, within `max_wait_s` if another is on its way.

        Else by the first call of this turn.
        """
        if len(self._waiting) >= self._config.max_items:
            self._flush()
        elif self._flushing is None and self._num_on_their_way():
            loop = asyncio.get_running_loop()
            self._flushing = loop.call_later(wait_s(self._config, self._quick_s), self._flush)

    def _num_on_their_way(self) -> int:
        return len(self._messages) + self._num_alone

    def _flush(self) -> None:
        """Sends what waits, without those that nobody waits for any more."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        calls, self._waiting = [call for call in self._waiting if not call.answer.done()], []
        if calls:
            message = asyncio.get_running_loop().create_task(self._deliver(calls))
            self._messages.add(message)
            message.add_done_callback(self._delivered)

    def _delivered(self, message: asyncio.Task[None]) -> None:
        self._messages.discard(message)
        self._go_on()

    def _go_on(self) -> None:
        """What waits for a message on its way need not wait any longer."""
        if not self._num_on_their_way():
            self._flush()

    async def _sent(self, calls: list[SharedCall]) -> Sequence[Any]:
        start = time.perf_counter()
        answers = await self._send([call.item for call in calls], [Envelope.of(call.context) for call in calls])
        self._quick_s = quick_s(self._quick_s, time.perf_counter() - start)
        return answers

    async def _deliver(self, calls: list[SharedCall]) -> None:
        """One message, from its sending to its answers; whatever happens, no caller is left without one."""
        answers: Sequence[Any] = ()
        try:
            with _cancelled_when_nobody_waits(calls):
                answers = await self._sent(calls)
        except RagError as error:
            answers = [error] * len(calls)
        finally:
            # Without answers it was the replica that was cancelled, or it broke the contract.
            missing = [StageUnavailableError(self._stage)] * (len(calls) - len(answers))
            for call, answer in zip(calls, [*answers, *missing], strict=False):
                _settle(call.answer, answer)


def wait_s(config: CoalescingConfig, message_s: float) -> float:
    """How long a call waits for company at most, where a quick message takes `message_s`."""
    return config.max_wait_s * (SHORT_WAIT if message_s > LONG_IN_WAITS * config.max_wait_s else 1.0)


def quick_s(before_s: float, took_s: float) -> float:
    """What a quick message takes, after one more that took `took_s`; `before_s` is 0 before the first.

    At once by a quicker one, slowly by slower ones: where this process is busy, nearly all of them wait for it.
    """
    return min(took_s, before_s + RECENT * (took_s - before_s)) if before_s else took_s


async def answers_of(stage: str, envelopes: Sequence[Envelope], calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """In a replica: what each call of a message gives, in order; a RagError in the place of one that failed.

    A failure that is not foreseen is an InternalError, logged.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [_answer(stage, envelope, result) for envelope, result in zip(envelopes, results, strict=True)]


def _answer(stage: str, envelope: Envelope, found: Any) -> Any:
    if isinstance(found, RagError) or not isinstance(found, BaseException):
        return found
    if isinstance(found, asyncio.CancelledError):
        return StageUnavailableError(stage)
    logger.error("stage %s failed for %s", stage, envelope.request_id, exc_info=found)
    return InternalError(stage)


@contextmanager
def _cancelled_when_nobody_waits(calls: list[SharedCall]) -> Iterator[None]:
    """Cancels the current task once every one of `calls` has given up."""
    task, num_waiting = asyncio.current_task(), len(calls)
    assert task is not None

    def one_gave_up(_: asyncio.Future[Any]) -> None:
        nonlocal num_waiting
        num_waiting -= 1
        if not num_waiting:
            task.cancel()

    for call in calls:
        call.answer.add_done_callback(one_gave_up)
    try:
        yield
    finally:
        for call in calls:
            call.answer.remove_done_callback(one_gave_up)


def _value_of(answer: Any) -> Any:
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
