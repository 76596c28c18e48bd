"""What `ragserve status` prints of a readiness."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serve.cli.remote import RemoteError
from serve.cli.status.command import _print_state, status

STAGE = {"ready": True, "model": "extractive", "runs_on": None, "canary": None, "loading": None, "error": None}
READINESS = {
    "ready": True,
    "missing": [],
    "problems": [],
    "rollout": {},
    "recent": {"answers": 0, "degraded": {}},
    "stages": {"generate": STAGE},
}


class WithoutKey(BaseHTTPRequestHandler):
    """A service that shows its readiness, and no files: the caller has no key."""

    def do_GET(self) -> None:
        is_probe = self.path == "/readyz"
        body = json.dumps(READINESS if is_probe else {"error": {"message": "no API key was sent"}}).encode()
        self.send_response(200 if is_probe else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), WithoutKey)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_stages_are_shown_also_to_a_caller_without_a_key(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RemoteError, match="no API key was sent"):
        status(url, "default")

    assert capsys.readouterr().out.split() == ["generate", "ready", "extractive"]


def test_each_problem_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    readiness = {
        "missing": ["rerank: its breaker is open"],
        "problems": ["parse: a file is parsed since 1900 s", "generate: model qwen3-0.6b is open"],
        "recent": {"answers": 20, "degraded": {"rerank": 0.5}},
        "rollout": {"Reranker": "UPDATING"},
        "stages": {"parse": {"error": "a file is parsed since 1900 s"}, "generate": {"error": ""}},
    }

    _print_state(readiness)

    assert capsys.readouterr().out.splitlines() == [
        "missing    rerank: its breaker is open",
        "problem    generate: model qwen3-0.6b is open",
        "degraded   rerank: 50 % of the last 20 answers",
        "rollout    Reranker: UPDATING",
    ]
