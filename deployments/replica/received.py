"""What every call of a replica gets: log lines with the ids of its requests, and a line of its own at INFO."""

import functools
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from deployments.calls.envelope import Envelope, longest_budget_s
from deployments.telemetry.access_log import ACCESS_LOG
from deployments.telemetry.logs import log_as
from deployments.telemetry.metrics.stages import STAGE_ONGOING
from deployments.telemetry.spans import Span, Traced, received_spans
from models.deadline import Deadline
from models.errors.base import RagError
from models.remote.origin import Origin, send_for

P = ParamSpec("P")
T = TypeVar("T")


def received(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Decorates a method that handles call, with an Envelope or a list of them among its arguments.

    Its replica's `stage` is the label of its metrics. The answer to a recorded request is Traced: StageClient opens it.
    """

    @functools.wraps(method)
    async def observed(*args: P.args, **kwargs: P.kwargs) -> Any:
        with _observed(_stage(args), method.__name__, _envelopes(args)) as spans:
            answer = await method(*args, **kwargs)
            return Traced(answer, tuple(span.end() for span in spans)) if spans else answer

    return observed


def received_stream(method: Callable[P, AsyncGenerator[T, None]]) -> Callable[P, AsyncGenerator[T, None]]:
    """The same for a method whose answer is a stream."""

    @functools.wraps(method)
    async def observed(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, None]:
        with _observed(_stage(args), method.__name__, _envelopes(args)) as spans:
            async with aclosing(method(*_below(spans, args), **kwargs)) as items:
                async for item in items:
                    yield item
            if spans:
                yield Traced(None, tuple(span.end() for span in spans))

    return observed


def _below(spans: list[Span], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments, with an envelope whose spans begin below that of the replica."""
    if not spans:
        return args
    traceparent = spans[0].traceparent
    return tuple(replace(arg, trace_context=traceparent) if isinstance(arg, Envelope) else arg for arg in args)


def _stage(args: tuple[Any, ...]) -> str:
    stage: str = args[0].stage
    return stage


def _envelopes(args: tuple[Any, ...]) -> list[Envelope]:
    for argument in args:
        if isinstance(argument, Envelope):
            return [argument]
        if isinstance(argument, list) and argument and isinstance(argument[0], Envelope):
            return argument
    return []


@contextmanager
def _observed(stage: str, method: str, envelopes: list[Envelope]) -> Iterator[list[Span]]:
    log_as(*envelopes)
    ongoing = STAGE_ONGOING.labels(stage)
    ongoing.inc(len(envelopes))
    start, outcome = time.perf_counter(), "cancelled"
    try:
        spans = received_spans(f"{stage}.{method}", [envelope.trace_context for envelope in envelopes])
        send_for(_origin(envelopes, spans))
        yield spans
        outcome = "ok"
    except RagError as error:
        outcome = error.code
        raise
    except Exception:
        outcome = "internal_error"
        raise
    finally:
        ongoing.dec(len(envelopes))
        if ACCESS_LOG.is_on:
            elapsed_s = time.perf_counter() - start
            fields = {"method": method, "outcome": outcome, "elapsed_s": round(elapsed_s, 4)}
            ACCESS_LOG.add(f"{method} of {len(envelopes)}: {outcome}, {elapsed_s * 1000:.1f} ms", fields)


def _origin(envelopes: list[Envelope], spans: list[Span]) -> Origin:
    """What a model behind a URL is told: the message's deadline, and the first of its traces."""
    traceparents = [span.traceparent for span in spans] or [envelope.trace_context for envelope in envelopes]
    deadline = Deadline.after(longest_budget_s(envelopes)) if envelopes else Deadline.never()
    return Origin(deadline, next(filter(None, traceparents), ""))
