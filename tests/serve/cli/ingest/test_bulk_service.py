"""A bulk run waits for a service that restarts or is full, and repeats what was not answered."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serve.cli.ingest.bulk import service as bulk_service
from serve.cli.ingest.bulk.service import PatientService
from serve.cli.remote import RemoteError, UnreachableError

PROXY = 999  # an error that is not the service's own


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers with these statuses in turn, 0 for none at all, then with 200."""
    left, bodies = list(statuses), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])).decode(errors="replace"))
            status = left.pop(0) if left else 200
            if status == 0:
                self.close_connection = True
                return
            content = b"no route" if status == PROXY else b'{"id": "file-1", "error": {"message": "no"}}'
            self.send_response(404 if status == PROXY else status)
            self.send_header("retry-after", "soon")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_service, "FIRST_PAUSE_S", 0.001)


@pytest.mark.parametrize("statuses", [(503,), (429, 502), (0,), (0, 503, 504), (PROXY,)])
def test_an_upload_is_repeated_whole(statuses: tuple[int, ...]) -> None:
    with answering(*statuses) as (url, bodies), PatientService(url, patience_s=60) as service:
        assert service.upload_content("größer".encode(), "a.md") == "file-1"

    assert len(bodies) == len(statuses) + 1
    assert all("größer" in body for body in bodies)


@pytest.mark.parametrize("status", [422, 413, 404, 500])
def test_a_refusal_is_not_repeated(status: int) -> None:
    with (
        answering(status) as (url, bodies),
        PatientService(url, patience_s=60) as service,
        pytest.raises(RemoteError, match="no"),
    ):
        service.upload_content(b"x", "a.md")

    assert len(bodies) == 1


def test_a_stopped_run_waits_no_longer() -> None:
    with answering(503, 503) as (url, bodies), PatientService(url, patience_s=60) as service:
        service.stop()
        with pytest.raises(RemoteError, match="no"):
            service.upload_content(b"x", "a.md")

    with PatientService("http://127.0.0.1:9", patience_s=60) as service:
        service.stop()
        with pytest.raises(UnreachableError):
            service.upload_content(b"x", "a.md")
    assert len(bodies) == 1
