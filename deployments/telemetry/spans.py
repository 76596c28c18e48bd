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

from models.errors import RagError
from models.types import RequestContext

Kind = Literal["server", "client", "internal"]
Value = str | bool | int | float | Sequence[str]
RECORDED = "-01"
# Not Python's own generator, which a library may seed alike in several processes; nor the system's, a call of the
# kernel for each span. These ids are no secrets.
_ids = Random(secrets.randbits(256))
os.register_at_fork(after_in_child=lambda: _ids.seed(secrets.randbits(256)))


@dataclass(slots=True)
class Span:
    """A finished span: ids in hex, times in Unix nanoseconds. `links` are traceparents. `error` is a code, or empty."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Traced:
    """A replica's answer, and its spans of the requests that are recorded."""

    answer: Any
    spans: tuple[Span, ...]


@dataclass(slots=True)
class OpenSpan:
    """A span under way. Its `traceparent` is what its children get."""

    trace_id: str
    parent_id: str
    name: str
    kind: Kind = "internal"
    links: tuple[str, ...] = ()
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    span_id: str = field(default_factory=lambda: f"{_ids.getrandbits(64) or 1:016x}")
    start_ns: int = field(default_factory=time.time_ns)

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}{RECORDED}"

    def end(self) -> Span:
        return Span(
            self.trace_id,
            self.span_id,
            self.parent_id,
            self.name,
            self.kind,
            self.start_ns,
            time.time_ns(),
            self.attributes,
            self.links,
            self.error,
        )


class Recorder:
    """The spans of a request. Its `with` block is the request: spans that come later are dropped."""

    def __init__(self, root: OpenSpan) -> None:
        self.root = root
        self.spans: list[Span] = []

    def __enter__(self) -> "Recorder":
        _recorders[self.root.span_id] = self
        _current.set(self.root)
        return self

    def __exit__(self, *_: object) -> None:
        del _recorders[self.root.span_id]
        _current.set(None)
        self.spans.append(self.root.end())

    @contextmanager
    def child(self, span: OpenSpan) -> Iterator[None]:
        """Record the span when the block ends."""
        _recorders[span.span_id] = self
        try:
            yield
        finally:
            del _recorders[span.span_id]
            self.spans.append(span.end())


# By the ids of the spans under way in this process. Not by trace: a caller may send several requests in one.
_recorders: dict[str, Recorder] = {}
_current: ContextVar[OpenSpan | None] = ContextVar("current_span", default=None)


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
    span = OpenSpan(parent.trace_id, parent.span_id, name)
    _current.set(span)
    try:
        with recorder.child(span):
            yield
    finally:
        _current.set(parent)  # not `reset`: a stream may be closed in another context than it began in


@contextmanager
def calling(name: str, context: RequestContext) -> Iterator[tuple[RequestContext, OpenSpan | None]]:
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
    span = OpenSpan(trace_id, parent_id, name, "client")
    with recorder.child(span), _failing(span):
        yield replace(context, trace_context=span.traceparent), span


@contextmanager
def _failing(span: OpenSpan) -> Iterator[None]:
    """Note why the block failed."""
    try:
        yield
    except RagError as error:
        span.error = error.code
        raise
    except (asyncio.CancelledError, GeneratorExit):
        span.error = "cancelled"
        raise


def received_spans(name: str, trace_contexts: Sequence[str]) -> list[OpenSpan]:
    """In a replica: a span for each recorded request of a message, linked to the others of the message."""
    recorded = list(dict.fromkeys(filter(is_recorded, trace_contexts)))
    spans = []
    for traceparent in recorded:
        _, trace_id, parent_id, _ = traceparent.split("-")
        others_of_message = tuple(link for link in recorded if link != traceparent)
        span = OpenSpan(trace_id, parent_id, name, "server", others_of_message)
        span.attributes["messaging.batch.message_count"] = len(trace_contexts)
        spans.append(span)
    return spans
