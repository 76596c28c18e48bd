"""A receiver of traces by OTLP over HTTP, as a collector is."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """An OTLP/HTTP receiver on the loopback address."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(receiver) -> type[BaseHTTPRequestHandler]:  # noqa: N805, `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
                export = ExportTraceServiceRequest()
                export.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
                receiver.spans += [
                    span
                    for of_resource in export.resource_spans
                    for scope in of_resource.scope_spans
                    for span in scope.spans
                ]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def by_name(self) -> dict[str, Span]:
        return {span.name: span for span in self.spans}


def attributes(span: Span) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}
