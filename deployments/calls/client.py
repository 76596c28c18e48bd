"""A stage's client: deadlines in, our errors out, and work cancelled at the replica when its caller leaves."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError

from deployments.calls.coalescer import AS_SHIPPED, Coalescer, CoalescingConfig, value_of
from deployments.calls.envelope import Envelope, longest_budget_s
from deployments.calls.handle import Handle
from deployments.calls.stage_breaker import StageBreaker
from deployments.calls.waiting_calls import Repeat, SecondCall, WaitingCall
from deployments.telemetry import gen_ai
from deployments.telemetry.logs import ids_of
from deployments.telemetry.metrics.stages import STAGE_RETRIES, STAGE_SECONDS
from deployments.telemetry.spans import Span, Traced, calling, collect
from models.deadline import Deadline
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.stages import DeadlineExceededError, InternalError, StageDownError, StageUnavailableError
from models.retry_budget import RetryBudget
from models.stage_status import StageStatus
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext

PROBE_S = 2.0  # for a status while the breaker is open
CLOSE_S = 0.01  # a caller that leaves so close to its deadline leaves for it
# A call whose replica died goes to another one, after a pause of up to so long, within so much of its remaining time.
RETRY_PAUSE_S, RETRY_TIME = 0.05, 0.5
MAX_RETRY_S = 2.0

logger = logging.getLogger(__name__)


class StageClient:
    """Calls one stage's replicas. Every call has a deadline, and is cancelled at the replica when its caller leaves.

    Every typed client (EmbedderClient, …) uses `call`, `shared_call` and `stream_call`.
    """

    def __init__(self, handle: Handle, stage: str, coalescing: CoalescingConfig = AS_SHIPPED) -> None:
        self.stage = stage
        self._handle = handle
        self._coalescing = coalescing
        self._coalescers: dict[str, Coalescer] = {}  # by method
        self._retries = RetryBudget()
        self.breaker = StageBreaker(stage, self._probe)

    @property
    def breakers(self) -> list[StageBreaker]:
        return [self.breaker]

    async def call(self, method: str, *args: object, context: RequestContext) -> Any:
        """The replica's answer.

        Raises the replica's RagError, OverloadedError, DeadlineExceededError, StageUnavailableError, or InternalError
        for a bug. A breaker that is open raises BreakerOpenError at once; work in the background passes it.
        """
        repeat = partial(self._repeat, method, args, context)
        with self._observed(context) as (sent, span), self._guarded(context, repeat):
            answer = await self._call_twice(method, _in_span(args, span), (Envelope.of(sent),))
            return _described(span, answer)

    async def shared_call(self, method: str, item: object, context: RequestContext) -> Any:
        """As `call`, in one message with the concurrent calls of the method; alone to an inline replica, which batches.

        The replica's method takes the items and an Envelope for each, and returns an answer for each: a RagError in
        the place of an item that fails alone.
        """
        repeat = partial(self._repeat_shared, method, item, context)
        if self._handle.is_inline:
            with self._observed(context) as (sent, span), self._guarded(context, repeat):
                answer = value_of(await self._send(method, [item], [Envelope.of(sent)]), self.stage)
                return _described(span, answer)
        second = partial(self._second, method, item, context)
        with self._observed(context) as (sent, span), self._guarded(context, repeat, second=second) as call:
            try:
                answer = await self._coalescer(method).call(item, sent)
            except asyncio.CancelledError:
                overtaker = call.overtaken() if call is not None else None
                if overtaker is None:
                    raise
                answer = overtaker.result()
            return _described(span, answer)

    def _coalescer(self, method: str) -> Coalescer:
        if method not in self._coalescers:
            send = partial(self._send, method)
            self._coalescers[method] = Coalescer(send, self._coalescing, self.stage)
        return self._coalescers[method]

    async def _send(self, method: str, items: list[Any], envelopes: list[Envelope]) -> Sequence[Any]:
        return await self._call_twice(method, (items, envelopes), envelopes)

    async def _call_twice(self, method: str, args: tuple[object, ...], envelopes: Sequence[Envelope]) -> Any:
        """As `_call`. Questions change nothing, so a message whose replica died is sent to another one, once.

        Work in the background is not: it finds out by itself which item killed the replica. Nor is one whose model
        behind a URL fails, since another replica calls the same server; nor one beyond the budget of retries.
        """
        deadline = Deadline.after(longest_budget_s(envelopes))
        self._retries.add_request()
        try:
            return await self._call(method, args, envelopes, deadline.remaining_s())
        except StageDownError:
            raise
        except StageUnavailableError:
            retry_s = min(RETRY_TIME * deadline.remaining_s(), MAX_RETRY_S)
            is_background = any(each.priority <= BACKGROUND_PRIORITY for each in envelopes)
            if retry_s <= RETRY_PAUSE_S or is_background or not self._retries.take():
                raise
            STAGE_RETRIES.labels(self.stage).inc()
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_S))
        try:
            return await self._call(method, _at_most(args, retry_s), envelopes, retry_s)
        except DeadlineExceededError:  # there is no other one
            raise StageUnavailableError(self.stage) from None

    async def _call(self, method: str, args: tuple[object, ...], envelopes: Sequence[Envelope], budget_s: float) -> Any:
        """The answer to a message of requests, which is late when all of them are."""
        response = self._handle.call(method, *args)
        try:
            async with asyncio.timeout(budget_s):
                answer = await response
            self.breaker.heard()
            return _opened(answer)
        except (TimeoutError, asyncio.CancelledError) as error:
            # Ray does not cancel the replica when our await times out or is cancelled.
            self._handle.cancel(response)
            raise self._translated(error, envelopes) from None
        except Exception as error:  # noqa: BLE001, whatever a replica raised arrives here
            if _is_of_replica(error):
                self.breaker.heard()
            raise self._translated(error, envelopes) from None

    async def stream_call(self, method: str, *args: object, context: RequestContext) -> AsyncGenerator[Any, None]:
        """The replica's items as they come. Closing the stream cancels the replica's work."""
        repeat = partial(self._repeat_stream, method, args, context)
        with self._observed(context) as (sent, span), self._guarded(context, repeat, is_stream=True) as call:
            async with aclosing(self._stream(method, _in_span(args, span), sent)) as items:
                async for item in items:
                    if call is not None and not call.is_answered:
                        self.breaker.answered(call)
                    yield _described(span, item)

    async def _stream(
        self, method: str, args: tuple[object, ...], context: RequestContext
    ) -> AsyncGenerator[Any, None]:
        envelopes = (Envelope.of(context),)
        response = self._handle.stream(method, *args)
        try:
            # A timeout for each item: a timeout must not span a yield, whose consumer may be another task.
            while True:
                async with asyncio.timeout(context.remaining_s()):
                    item = await anext(response)
                self.breaker.heard()
                if isinstance(item, Traced):
                    collect(item.spans)  # sent last
                else:
                    yield item
        except StopAsyncIteration:
            return
        except (GeneratorExit, TimeoutError, asyncio.CancelledError) as error:
            self._handle.cancel(response)
            raise self._translated(error, envelopes) from None
        except Exception as error:  # noqa: BLE001, whatever a replica raised arrives here
            raise self._translated(error, envelopes) from None

    async def status(self, context: RequestContext) -> StageStatus:
        """The status of a replica. Raises RagError if none answers.

        No breaker keeps it from being sent. It is no call of the metrics: probes of an idle service are no work.
        """
        return await self._call("status", (), (Envelope.of(context),), context.remaining_s())

    async def _probe(self) -> StageStatus:
        return await self.status(RequestContext("breaker", "", Deadline.after(PROBE_S), BACKGROUND_PRIORITY))

    async def _repeat(self, method: str, args: tuple[object, ...], context: RequestContext, budget_s: float) -> None:
        """Send a call again as the breaker's trial, which belongs to no request."""
        trial = (Envelope.of(_trial_of(context, budget_s)),)
        await self._call(method, _with_budget(args, budget_s), trial, budget_s)

    async def _repeat_shared(self, method: str, item: object, context: RequestContext, budget_s: float) -> Any:
        envelopes = [Envelope.of(_trial_of(context, budget_s))]
        return value_of(await self._call(method, ([item], envelopes), envelopes, budget_s), self.stage)

    async def _second(self, method: str, item: object, context: RequestContext) -> Any:
        """The answer of another replica, if there is one: the one that does not answer has more unanswered messages.

        Raises OverloadedError beyond the budget of retries.
        """
        if self._handle.num_replicas < 2 or not self._retries.take():
            raise OverloadedError(self.stage)
        STAGE_RETRIES.labels(self.stage).inc()
        return await self._repeat_shared(method, item, context, context.remaining_s())

    async def _repeat_stream(
        self, method: str, args: tuple[object, ...], context: RequestContext, budget_s: float
    ) -> None:
        """Up to its first item."""
        trial = _trial_of(context, budget_s)
        async with aclosing(self._stream(method, _with_budget(args, budget_s), trial)) as items:
            await anext(items, None)

    @contextmanager
    def _guarded(
        self, context: RequestContext, repeat: Repeat, is_stream: bool = False, second: SecondCall | None = None
    ) -> Iterator[WaitingCall | None]:
        """Let the breaker decide about the block, and tell it the outcome. It may end the block with a RagError."""
        if context.priority <= BACKGROUND_PRIORITY:
            yield None
            return
        call = self.breaker.admit(context.remaining_s(), repeat, is_stream, second)
        try:
            yield call
        except RagError as error:
            self.breaker.failed(call, error)
            raise
        except (asyncio.CancelledError, GeneratorExit) as error:
            error_of_breaker = call.released() if isinstance(error, asyncio.CancelledError) else None
            if error_of_breaker is not None:
                self.breaker.failed(call, error_of_breaker)
                raise error_of_breaker from None
            if context.remaining_s() <= CLOSE_S:  # the caller noticed the deadline first
                self.breaker.failed(call, DeadlineExceededError(self.stage, call.budget_s))
            self.breaker.left(call)
            raise
        else:
            self.breaker.answered(call)
        finally:
            self.breaker.end(call)

    @contextmanager
    def _observed(self, context: RequestContext) -> Iterator[tuple[RequestContext, Span | None]]:
        """Time the block, and count it under its outcome. Yields the context to send, and a recorded call's span."""
        start, outcome = time.perf_counter(), "ok"
        try:
            with calling(self.stage, context) as (sent, span):
                if span is not None:
                    span.attributes.update(gen_ai.operation_of(self.stage))
                yield sent, span
        except RagError as error:
            outcome = error.code
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        finally:
            STAGE_SECONDS.labels(self.stage, outcome).observe(time.perf_counter() - start)

    def _translated(self, error: BaseException, envelopes: Sequence[Envelope]) -> BaseException:
        match error:
            case RayTaskError() if isinstance(error.cause, RagError):
                return error.cause
            case RagError() | GeneratorExit():
                return error
            case TimeoutError():
                return DeadlineExceededError(self.stage, longest_budget_s(envelopes))
            case asyncio.CancelledError() | RequestCancelledError() | TaskCancelledError():
                return asyncio.CancelledError()
            case BackPressureError():
                return OverloadedError(self.stage)
            case RayActorError() | DeploymentUnavailableError():
                return StageUnavailableError(self.stage)
        self._log(error, envelopes)
        return InternalError(self.stage)

    def _log(self, error: BaseException, envelopes: Sequence[Envelope]) -> None:
        # The remote traceback, pid and address belong in our log and nowhere else.
        # Our own frames between here and the replica say nothing.
        logger.error("stage %s failed", self.stage, exc_info=error.with_traceback(None), extra=ids_of(envelopes))


def _in_span(args: tuple[object, ...], span: Span | None) -> tuple[object, ...]:
    """The arguments of a call, whose envelope has the call's span as its parent."""
    if span is None:
        return args
    trace_context = span.traceparent
    return tuple(replace(each, trace_context=trace_context) if isinstance(each, Envelope) else each for each in args)


def _at_most(args: tuple[object, ...], budget_s: float) -> tuple[object, ...]:
    """The arguments of a retry: the replica computes no longer than the caller waits."""
    return _with_envelopes(args, lambda envelope: replace(envelope, budget_s=min(envelope.budget_s, budget_s)))


def _with_budget(args: tuple[object, ...], budget_s: float) -> tuple[object, ...]:
    """The arguments of a trial, whose spans would have no request to go to."""
    return _with_envelopes(args, lambda envelope: replace(envelope, budget_s=budget_s, trace_context=""))


def _with_envelopes(args: tuple[object, ...], change: Callable[[Envelope], Envelope]) -> tuple[object, ...]:
    return tuple(_changed(each, change) for each in args)


def _changed(argument: object, change: Callable[[Envelope], Envelope]) -> object:
    if isinstance(argument, Envelope):
        return change(argument)
    if isinstance(argument, list) and argument and isinstance(argument[0], Envelope):
        return [change(each) for each in argument]
    return argument


def _trial_of(context: RequestContext, budget_s: float) -> RequestContext:
    return replace(context, deadline=Deadline.after(budget_s), trace_context="")


def _is_of_replica(error: Exception) -> bool:
    """Whether a replica raised it, in another process or in this one."""
    return isinstance(error, RayTaskError) or (
        isinstance(error, RagError) and not isinstance(error, StageUnavailableError)
    )


def _opened(answer: Any) -> Any:
    """The replica's own answer. The spans beside it go to their requests."""
    if isinstance(answer, Traced):
        collect(answer.spans)
        return answer.answer
    return answer


def _described(span: Span | None, answer: Any) -> Any:
    """The answer; its span says which model gave it."""
    if span is not None:
        span.attributes.update(gen_ai.attributes_of(answer))
    return answer
