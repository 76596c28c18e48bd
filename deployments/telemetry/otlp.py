"""Export of traces by OTLP over HTTP, decided when a request has ended: by rate, by slowness, and every failure."""

import logging
from collections.abc import Sequence
from typing import Self

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode
from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.telemetry.spans import Recorder, Span, is_recorded, new_trace_id

KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
RESOURCE = Resource({"service.name": "ragserve"})
MAX_ID = 2**64
SERVER_ERROR = 500


class TracingConfig(BaseModel):
    """Traces by OTLP. The headers of a collector that needs a key: OTEL_EXPORTER_OTLP_HEADERS in the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str | None = Field(
        default=None,
        max_length=2048,
        description="URL of an OTLP/HTTP receiver, such as http://collector:4318/v1/traces; null: no traces.",
    )
    sample_rate: float = Field(default=0.01, ge=0, le=1, description="Fraction of the requests that are exported.")
    slow_s: float = Field(
        default=10.0, ge=0, le=3600, description="A request that takes longer is exported too, in seconds."
    )
    follow_caller: bool = Field(
        default=True, description="Export a request whose traceparent header says that its caller's trace is sampled."
    )

    @model_validator(mode="after")
    def _check_endpoint(self) -> Self:
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint must be a URL that begins with http:// or https://")
        return self


class Tracer:
    """Records every request, and exports the chosen ones in the background."""

    def __init__(self, config: TracingConfig) -> None:
        self._config = config
        # It logs each failed batch. A collector that is down is no error of a request.
        logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=config.endpoint))

    def begin(self, name: str, trace_context: str) -> Recorder:
        """A recorder for a request, in its caller's trace if it has one."""
        if trace_context:
            _, trace_id, parent_id, _ = trace_context.split("-")
            return Recorder(Span(trace_id, parent_id, name, "server"))
        return Recorder(Span(new_trace_id(), "", name, "server"))

    def end(self, recorder: Recorder, status: int, trace_context: str) -> None:
        """Export the recorder's spans, if they are chosen."""
        root = recorder.spans[-1]
        elapsed_s = (root.end_ns - root.start_ns) / 1e9
        is_kept = (
            elapsed_s >= self._config.slow_s
            or status >= SERVER_ERROR
            or (self._config.follow_caller and is_recorded(trace_context))
            or int(root.trace_id[16:], 16) < self._config.sample_rate * MAX_ID
        )
        if is_kept:
            for span in recorder.spans:
                self._processor.on_end(to_otel(span))

    def close(self) -> None:
        """Export what waits. Blocks."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def to_otel(span: Span) -> ReadableSpan:
    parent = _context(span.trace_id, span.parent_id) if span.parent_id else None
    status = Status(StatusCode.ERROR, span.error) if span.error else Status()
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=parent,
        resource=RESOURCE,
        attributes=span.attributes,
        links=_links(span.links),
        kind=KINDS[span.kind],
        status=status,
        start_time=span.start_ns,
        end_time=span.end_ns,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _links(traceparents: Sequence[str]) -> list[Link]:
    ids = [traceparent.split("-")[1:3] for traceparent in traceparents]
    return [Link(_context(trace_id, span_id)) for trace_id, span_id in ids]
