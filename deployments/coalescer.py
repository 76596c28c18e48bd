"""Concurrent calls of one stage share a message: a hop between replicas costs more than most of what it carries."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.errors import DeadlineExceededError, InternalError, RagError, StageUnavailableError
from models.types import Deadline

logger = logging.getLogger(__name__)


class CoalescingConfig(BaseModel):
    """How calls gather in the process that makes them. An idle one waits for nobody."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_items: int = Field(default=32, ge=1, le=1024, description="Calls of one message; 1 sends each alone.")
    max_wait_s: float = Field(
        default=0.002,
        ge=0,
        le=1,
        description="How long a call waits for company, in seconds, while another message is on its way.",
    )


AS_SHIPPED = CoalescingConfig()


@dataclass(frozen=True, eq=False)
class SharedCall:
    """One caller's part of a message: what is asked, until when, and where the answer goes."""

    item: Any
    deadline: Deadline
    answer: asyncio.Future[Any]


Send = Callable[[list[Any], list[float]], Awaitable[Sequence[Any]]]


class Coalescer:
    """Gathers calls into messages. Belongs to one event loop.

    `send` takes the items and the seconds that each has left, and gives an answer an item, in order: a RagError in the
    place of one that failed alone. What `send` raises fails every call of its message. It is cancelled once nobody
    waits for any of its answers.
    """

    def __init__(self, send: Send, config: CoalescingConfig, stage: str) -> None:
        self._send = send
        self._config = config
        self._stage = stage
        self._waiting: list[SharedCall] = []
        self._messages: set[asyncio.Task[None]] = set()  # owned here: each ends with its answers
        self._flushing: asyncio.Handle | None = None  # the next flush

    async def call(self, item: Any, deadline: Deadline) -> Any:
        """The answer to `item`. Raises DeadlineExceededError, or what became of the message or of the item."""
        budget_s, answer = deadline.remaining_s(), asyncio.get_running_loop().create_future()
        self._waiting.append(SharedCall(item, deadline, answer))
        self._plan()
        try:
            async with asyncio.timeout(budget_s):
                return await answer
        except TimeoutError:
            raise DeadlineExceededError(self._stage, budget_s) from None

    def _plan(self) -> None:
        """When what waits is sent: now if it fills a message, within `max_wait_s` if another is on its way."""
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= self._config.max_items:
            self._flush()
        elif self._flushing is None:
            # Idle: at the end of this turn of the loop, so that what else this turn brings comes along.
            self._flushing = (
                loop.call_later(self._config.max_wait_s, self._flush) if self._messages else loop.call_soon(self._flush)
            )

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
        if not self._messages:
            self._flush()

    async def _deliver(self, calls: list[SharedCall]) -> None:
        """One message, from its sending to its answers; whatever happens, no caller is left without one."""
        answers: Sequence[Any] = ()
        try:
            with _cancelled_when_nobody_waits(calls):
                budgets_s = [call.deadline.remaining_s() for call in calls]
                answers = await self._send([call.item for call in calls], budgets_s)
        except RagError as error:
            answers = [error] * len(calls)
        finally:
            # Without answers it was the replica that was cancelled, or it broke the contract.
            missing = [StageUnavailableError(self._stage)] * (len(calls) - len(answers))
            for call, answer in zip(calls, [*answers, *missing], strict=False):
                _settle(call.answer, answer)


async def answers_of(stage: str, calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """In a replica: what each call of a message gives, in order; a RagError in the place of one that failed.

    A failure that is not foreseen is an InternalError, logged.
    """
    return [_answer(stage, found) for found in await asyncio.gather(*calls, return_exceptions=True)]


def _answer(stage: str, found: Any) -> Any:
    if isinstance(found, RagError) or not isinstance(found, BaseException):
        return found
    if isinstance(found, asyncio.CancelledError):
        return StageUnavailableError(stage)
    logger.error("stage %s failed", stage, exc_info=found)
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


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, RagError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
