"""A server whose answers are bytes, as slow, as long and as wrong as a test needs: real sockets, a thread each."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[], Iterator[bytes]]  # the parts of a response; a part is sent as soon as it is there
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


@dataclass
class RawServer:
    """Sends `answer` to each request, until the client leaves. `requests` has the head of each."""

    url: str = ""
    answer: Answer = lambda: iter(())
    requests: list[str] = field(default_factory=list)
    is_closing: threading.Event = field(default_factory=threading.Event)

    def forever(self, part: bytes, pause_s: float = 0.01) -> Iterator[bytes]:
        while not self.is_closing.wait(pause_s):
            yield part


@contextmanager
def raw_server() -> Iterator[RawServer]:
    """Serve until the block ends."""
    raw = RawServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = list(iter(lambda: self.rfile.readline().decode().strip(), ""))
            size = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length")), 0)
            self.rfile.read(size)
            raw.requests.append("\n".join(lines))
            with suppress(OSError):  # the client has left
                for part in raw.answer():
                    self.wfile.write(part)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        raw.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield raw
        finally:
            raw.is_closing.set()
            server.shutdown()
            thread.join()
