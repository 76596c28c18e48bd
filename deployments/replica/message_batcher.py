"""Batches of messages: those that arrive while a batch is computed form the next one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.replica.fair_shares import NO_FLOW, FairShares, Flow
from deployments.replica.user_config import BatchedStageConfig
from deployments.telemetry.stage_metrics import StageMetrics

Message = list[Any]
AnswerAll = Callable[[list[Message]], Awaitable[list[list[Any]]]]  # the answers of each message, in order
AS_SHIPPED = BatchedStageConfig()


@dataclass(eq=False)
class _Call:
    """A message, and the future that gets its answers."""

    message: Message
    answers: asyncio.Future[list[Any]]
    flows: Sequence[Flow] = (NO_FLOW,)
    arrived_at: float = field(default_factory=time.perf_counter)
    has_begun: bool = False  # to be computed


class MessageBatcher:
    """Computes one batch at a time. Belongs to one event loop.

    Serve's own batching does the same for 0.9 ms of CPU a message: it has tasks, events and metrics for each. Here a
    message costs a future.
    """

    def __init__(self, answer_all: AnswerAll, stage: str) -> None:
        """`stage` is the label of its metrics."""
        self._answer_all, self._metrics = answer_all, StageMetrics(stage)
        self._config = AS_SHIPPED
        self._waiting: list[_Call] = []
        self._shares = FairShares()  # of items
        self._running: asyncio.Task[None] | None = None  # owned here until no message waits

    def configure(self, config: BatchedStageConfig) -> None:
        """Use other limits from the next batch on."""
        self._config = config

    async def answers(self, message: Message, flows: Sequence[Flow] = (NO_FLOW,)) -> list[Any]:
        """The answers to `message`. Raises the error of its batch. A caller that leaves is not computed for.

        `flows` are those of its items. If more messages wait than fit into a batch, flows take turns.
        """
        loop = asyncio.get_running_loop()
        call = _Call(message, loop.create_future(), flows)
        self._waiting.append(call)
        if self._running is None:
            self._running = loop.create_task(self._run())
        self._metrics.arrived()
        try:
            with self._metrics.counting_drops():
                return await call.answers
        finally:
            if not call.has_begun:
                call.has_begun = True
                self._metrics.left()

    async def _run(self) -> None:
        """Compute batches until no message waits."""
        try:
            while self._waiting:
                if self._config.batch_wait_timeout_s and len(self._waiting) < self._config.max_batch_size:
                    await asyncio.sleep(self._config.batch_wait_timeout_s)
                await self._run_batch(self._next_batch())
        finally:
            self._running = None

    def _next_batch(self) -> list[_Call]:
        waiting = [call for call in self._waiting if not call.answers.done()]
        if len(waiting) <= self._config.max_batch_size:
            self._shares.forget()
            self._waiting = []
            return waiting
        batch = [self._take_next(waiting) for _ in range(self._config.max_batch_size)]
        self._waiting = waiting
        return batch

    def _take_next(self, waiting: list[_Call]) -> _Call:
        """Take the message of the flow whose turn it is; of that flow, the oldest."""
        call = min(waiting, key=lambda call: min(map(self._shares.start_of, call.flows)))
        waiting.remove(call)
        self._shares.begin(self._shares.next_of(call.flows))
        for flow in call.flows:
            self._shares.charge(flow, 1)
        return call

    async def _run_batch(self, batch: list[_Call]) -> None:
        start = time.perf_counter()
        for call in batch:
            call.has_begun = True
            self._metrics.waited(start - call.arrived_at)
        try:
            answers = await self._answer_all([call.message for call in batch]) if batch else []
            if batch:
                self._metrics.computed(sum(len(call.message) for call in batch), time.perf_counter() - start)
            for call, of_message in zip(batch, answers, strict=True):
                if not call.answers.done():
                    call.answers.set_result(of_message)
        except Exception as error:  # noqa: BLE001, whatever it is, the callers of this batch must get it
            for call in batch:
                if not call.answers.done():
                    call.answers.set_exception(error)
