"""A wrong address, a wrong key or another program at the address: one line that says so, and never a traceback."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cluster.haproxy import TLS_CERTIFICATE
from models.errors.base import RagError
from serve.cli.main import app
from serve.cli.service_address import KEY_VARIABLE
from serve.cli.trust import CA_VARIABLE
from tests.certificates import pair

JSON, HTML = "application/json", "text/html"
OTHER_PROGRAMS = {
    "a page": (200, HTML, b"<html>hello</html>"),
    "a list": (200, JSON, b"[]"),
    "an object": (200, JSON, b"{}"),
    "bytes": (200, JSON, b"\xff\xfe\x00"),
    "no JSON": (200, "text/event-stream", b"event: done\ndata: hello\n\n"),
    "half an answer": (200, "text/event-stream", b'event: text\ndata: {"text": "a"}\n\n'),
    "an empty end": (200, "text/event-stream", b"event: done\ndata: {}\n\n"),
    "another error": (400, JSON, b'{"error": "bad"}'),
}
COMMANDS = {
    "ask": ["ask", "Why?"],
    "status": ["status"],
    "ingest": ["ingest", __file__],
    "bulk": ["ingest", "--bulk", __file__, "--patience-s", "0"],
    "dead-letters": ["dead-letters"],
    "top": ["top", "--once", "--every", "0.5"],
}
METRICS = b"# TYPE ragserve_replicas gauge\nragserve_replicas 1\n"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (KEY_VARIABLE, CA_VARIABLE, TLS_CERTIFICATE):
        monkeypatch.delenv(variable, raising=False)


@contextmanager
def serving(answer: tuple[int, str, bytes], certificate: Path | None = None) -> Iterator[str]:
    """An HTTP server with one answer to everything; its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, kind, body = answer
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def failure(*arguments: str) -> str:
    """The one line that the command ends with."""
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, RagError), (result.exit_code, result.output, result.exception)
    line = str(result.exception)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("command", ["ask", "status", "top"])
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8000", "did you mean 'http://localhost:8000'?"),
        ("", "'' must be an address such as http://127.0.0.1:8000"),
        ("http://", "must be an address such as"),
        ("ftp://host", "must be an address such as"),
        ("http://host:text", "'http://host:text' is not a URL"),
        ("http://host:99999", "has port 99999; a port is from 1 to 65535"),
        ("http://::1:8000", "is not a URL"),
        ("http://a\0b", "is not a URL"),
        (f"http://{'a' * 300}", "is not a URL"),
    ],
)
def test_what_is_no_address_is_told_before_anything_is_sent(command: str, url: str, problem: str) -> None:
    line = failure(*COMMANDS[command], "--url", url)

    assert line.startswith("--url: ")
    assert problem in line


@pytest.mark.parametrize("url", ["http://me:hunter2@127.0.0.1:8000", "http://me:hunter2@127.0.0.1:text"])
def test_a_password_in_an_address_is_refused_and_not_shown(url: str) -> None:
    assert "hunter2" not in failure("status", "--url", url)


@pytest.mark.parametrize("key", ["rag-hunter2\nx", "rag-hunter2 x", "rag-hünter2", "“rag-hunter2”"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)

    line = failure("status", "--url", "http://127.0.0.1:1")

    assert line.startswith(f"{KEY_VARIABLE}: ")
    assert "hunter2" not in line


def test_a_line_break_at_the_end_of_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "rag-key\n")

    assert "cannot connect" in failure("status", "--url", "http://127.0.0.1:1")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("answer", OTHER_PROGRAMS)
def test_another_program_at_the_address_is_one_line(command: str, answer: str) -> None:
    with serving(OTHER_PROGRAMS[answer]) as address:
        result = CliRunner().invoke(app, [*COMMANDS[command], "--url", f"http://{address}"])

    assert isinstance(result.exception, RagError), (result.exit_code, result.output, result.exception)


def test_a_service_that_starts_says_that_it_is_not_ready() -> None:
    error = {"error": {"message": "no replica is ready", "type": "server_error", "param": None, "code": "x"}}
    with serving((503, JSON, json.dumps(error).encode())) as address:
        line = failure("status", "--url", f"http://{address}")

    assert line == f"http://{address} is not ready: no replica is ready"


def test_tls_to_a_port_without_it_is_told() -> None:
    with serving((200, HTML, b"")) as address:
        assert "no TLS is spoken there; use http://" in failure("status", "--url", f"https://{address}")


def test_a_certificate_of_an_unknown_authority_is_told(tmp_path: Path) -> None:
    with serving((200, JSON, b"{}"), pair().write(tmp_path / "service.pem")) as address:
        line = failure("status", "--url", f"https://{address}")
        assert "https://" in failure("status", "--url", f"http://{address}")

    assert f"{CA_VARIABLE} names the certificate of the authority" in line


def test_top_trusts_the_certificate_of_this_machines_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = pair("rag.example.com").write(tmp_path / "service.pem")
    monkeypatch.setenv(TLS_CERTIFICATE, str(certificate))

    with serving((200, "text/plain", METRICS), certificate) as address:
        result = CliRunner().invoke(app, ["top", "--once", "--every", "0.5", "--url", f"https://{address}/v1"])

    assert result.exit_code == 0, result.output
    assert "no question ended in this interval" in result.output
