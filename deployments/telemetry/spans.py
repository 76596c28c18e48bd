"""The spans of a request, gathered at the ingress: its own, those of its calls, and those that replicas send back.

A replica records for an envelope whose traceparent has the flag 01, and returns its spans beside its answer. So the
ingress has the whole trace when the request ends, and decides then whether to export it. With tracing off no
traceparent has the flag, and nothing is recorded.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

from models.errors.base import RagError
from models.types.request_context import RequestContext

Kind = Literal["server", "client", "internal"]
Value = str | bool | int | float | Sequence[str]
RECORDED = "-01"
# Not Python's own generator, which a library may seed alike in several processes; nor the system's, a call of the
# kernel for each span. These ids are no secrets.
_ids = Random(secrets.randbits(256))
os.register_at_fork(after_in_child=lambda: _ids.seed(secrets.randbits(256)))


@dataclass(slots=True)
class Span:
    """Ids in hex, times in Unix nanoseconds. It is under way until `end`; its children get its `traceparent`.

    `links` are traceparents. `error` is a code, or empty.
    """

    trace_id: str
    parent_id: str
    name: str
    kind: Kind = "internal"
    links: tuple[str, ...] = ()
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    span_id: str = field(default_factory=lambda: f"{_ids.getrandbits(64) or 1:016x}")
    start_ns: int = field(default_factory=time.time_ns)
    end_ns: int = 0

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}{RECORDED}"

    def end(self) -> "Span":
        self.end_ns = time.time_ns()
        return self


@dataclass(frozen=True)
class Traced:
    """A replica's answer, and its ended spans of the requests that are recorded."""

    answer: Any
    spans: tuple[Span, ...]


class Recorder:
    """The ended spans of a request. Its `with` block is the request: spans that come later are dropped."""

    def __init__(self, root: Span) -> None:
        self.root = root
        self.spans: list[Span] = []

    def __enter__(self) -> "Recorder":
        self.begin(self.root)
        _current.set(self.root)
        return self

    def __exit__(self, *_: object) -> None:
        _current.set(None)
        self.end(self.root)

    def begin(self, span: Span) -> None:
        """Spans below this one are the recorder's too, until it ends."""
        _recorders[span.span_id] = self

    def end(self, span: Span) -> None:
        del _recorders[span.span_id]
        self.spans.append(span.end())


# By the ids of the spans under way in this process. Not by trace: a caller may send several requests in one.
_recorders: dict[str, Recorder] = {}
_current: ContextVar[Span | None] = ContextVar("current_span", default=None)


def is_recorded(trace_context: str) -> bool:
    return trace_context.endswith(RECORDED)


def new_trace_id() -> str:
    return f"{_ids.getrandbits(128) or 1:032x}"


def collect(spans: Sequence[Span]) -> None:
    """Give each span of a replica to the request that called it, if that is still under way."""
    for span in spans:
        if recorder := _recorders.get(span.parent_id):
            recorder.spans.append(span)


def annotate(attributes: Mapping[str, Value]) -> None:
    """Add attributes to the whole request of the current task."""
    current = _current.get()
    if current is not None and (recorder := _recorders.get(current.span_id)):
        recorder.root.attributes.update(attributes)


@contextmanager
def step(name: str) -> Iterator[None]:
    """A span of work inside this process, below the current one. Free if nothing is recorded."""
    parent = _current.get()
    recorder = _recorders.get(parent.span_id) if parent is not None else None
    if parent is None or recorder is None:
        yield
        return
    span = Span(parent.trace_id, parent.span_id, name)
    recorder.begin(span)
    _current.set(span)
    try:
        yield
    finally:
        recorder.end(span)
        _current.set(parent)  # not `reset`: a stream may be closed in another context than it began in


@contextmanager
def calling(name: str, context: RequestContext) -> Iterator[tuple[RequestContext, Span | None]]:
    """A span around a call of a stage, and the context to send: its children are below this span."""
    if not is_recorded(context.trace_context):
        yield context, None
        return
    current = _current.get()
    _, trace_id, parent_id, _ = context.trace_context.split("-")
    if current is not None and current.trace_id == trace_id:
        parent_id = current.span_id
    recorder = _recorders.get(parent_id)
    if recorder is None:
        yield context, None
        return
    span = Span(trace_id, parent_id, name, "client")
    recorder.begin(span)
    try:
        yield replace(context, trace_context=span.traceparent), span
    except RagError as error:
        span.error = error.code
        raise
    except (asyncio.CancelledError, GeneratorExit):
        span.error = "cancelled"
        raise
    finally:
        recorder.end(span)


def received_spans(name: str, trace_contexts: Sequence[str]) -> list[Span]:
    """In a replica: a span for each recorded request of a message, linked to the others of the message."""
    recorded = list(dict.fromkeys(filter(is_recorded, trace_contexts)))
    spans = []
    for traceparent in recorded:
        _, trace_id, parent_id, _ = traceparent.split("-")
        others_of_message = tuple(link for link in recorded if link != traceparent)
        span = Span(trace_id, parent_id, name, "server", others_of_message)
        span.attributes["messaging.batch.message_count"] = len(trace_contexts)
        spans.append(span)
    return spans
