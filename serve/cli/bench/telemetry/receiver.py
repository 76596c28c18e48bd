"""A receiver of traces by OTLP over HTTP, in a process of its own: `python -m serve.cli.bench.telemetry.receiver PORT`.

It parses each message, as a collector does, and keeps nothing but the number of spans: `GET /` returns it.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from serve.cli.driver.servers import HOST


class Receiver(BaseHTTPRequestHandler):
    """Counts in the class: the server makes an object a request."""

    num_spans = 0

    def do_POST(self) -> None:
        export = ExportTraceServiceRequest()
        export.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
        scopes = [scope for of_resource in export.resource_spans for scope in of_resource.scope_spans]
        Receiver.num_spans += sum(len(scope.spans) for scope in scopes)
        self._answer(ExportTraceServiceResponse().SerializeToString())

    def do_GET(self) -> None:
        self._answer(json.dumps({"spans": Receiver.num_spans}).encode())

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


if __name__ == "__main__":
    ThreadingHTTPServer((HOST, int(sys.argv[1])), Receiver).serve_forever()
