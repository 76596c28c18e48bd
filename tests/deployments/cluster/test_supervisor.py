"""HAProxy that dies under Ray Serve's own class for it: it is back at once, and reloaded and stopped as before."""

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from deployments.cluster.environment import free_port
from tests.patience import PATIENCE_S

POLL_S = 0.02


@dataclass
class Replica:
    """A server that answers with its name. A request of /slow is answered once `is_free` is set.

    If it `is_dying`, it closes the connection of each request in place of an answer.
    """

    name: str
    is_dying: bool = False
    is_free: threading.Event = field(default_factory=threading.Event)
    has_request: threading.Event = field(default_factory=threading.Event)
    paths: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        replica = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if replica.is_dying and self.path != "/-/healthz":
                    replica.paths.append(f"{self.command} {self.path}")
                    self.close_connection = True
                    return
                if self.path == "/slow":
                    replica.has_request.set()
                    replica.is_free.wait(PATIENCE_S)
                self.send_response(200)
                self.send_header("content-length", str(len(replica.name)))
                self.end_headers()
                self.wfile.write(replica.name.encode())

            def do_DELETE(self) -> None:
                self.do_GET()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def backend(self, *more: "Replica", fallback: "Replica | None" = None) -> dict[str, BackendConfig]:
        """`fallback` is for Serve's own proxy."""
        servers = [replica.address() for replica in (self, *more)]
        proxy = fallback.address() if fallback else None
        return {"http-app": BackendConfig("http-app", "/", servers=servers, app_name="app", fallback_server=proxy)}

    def address(self) -> ServerConfig:
        return ServerConfig(name=self.name, host="127.0.0.1", port=self.server.server_port)

    def end(self) -> None:
        self.is_free.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def replica() -> Iterator[Replica]:
    server = Replica("first")
    yield server
    server.end()


@pytest.fixture
def another() -> Iterator[Replica]:
    server = Replica("second")
    yield server
    server.end()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 108 characters
        yield Path(short)


@pytest.fixture
def port() -> int:
    return free_port()


def api_of(folder: Path, port: int, backends: dict[str, BackendConfig]) -> HAProxyApi:
    config = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        metrics_socket_path=str(folder / "metrics.sock"),
        stats_port=free_port(),
        metrics_port=free_port(),
        is_head=True,
    )
    api = HAProxyApi(cfg=config, config_file_path=str(folder / "haproxy.cfg"))
    api.set_backend_configs(backends)
    return api


@asynccontextmanager
async def running(api: HAProxyApi) -> AsyncIterator[None]:
    """Started and stopped as by Serve's manager."""
    await api.start()
    try:
        yield
    finally:
        await api.stop()


def supervisor_of(api: HAProxyApi) -> psutil.Process:
    """The process that Serve takes for HAProxy."""
    assert api._proc is not None
    return psutil.Process(api._proc.pid)


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def child_of(supervisor: psutil.Process) -> psutil.Process:
    """HAProxy itself, once there is one."""
    children: list[psutil.Process] = []

    def has_child() -> bool:
        children[:] = [child for child in supervisor.children() if not has_ended(child)]
        return bool(children)

    await until(has_child)
    return children[0]


async def kill_child(supervisor: psutil.Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill HAProxy, and wait for its successor."""
    child = await child_of(supervisor)
    child.send_signal(number)
    await until(lambda: has_ended(child))
    await child_of(supervisor)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(POLL_S)


def answer_of(port: int, path: str = "/") -> str:
    """The replica's name, the code of HAProxy's own answer, or "" if the connection fails."""
    try:
        response = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S, trust_env=False)
    except httpx.TransportError:
        return ""
    return response.text if response.status_code == 200 else str(response.json()["error"]["code"])


async def test_a_haproxy_that_dies_is_back_while_serve_sees_the_same_process(
    folder: Path, port: int, replica: Replica
) -> None:
    api = api_of(folder, port, replica.backend())
    async with running(api):
        supervisor = supervisor_of(api)
        for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
            await kill_child(supervisor, number)
            await until(lambda: answer_of(port) == "first")
            await api._wait_for_hap_availability(api._proc, timeout_s=int(PATIENCE_S))

        assert supervisor_of(api) == supervisor
        assert not has_ended(supervisor)


async def test_serve_reloads_a_haproxy_that_was_killed(
    folder: Path, port: int, replica: Replica, another: Replica
) -> None:
    api = api_of(folder, port, replica.backend())
    async with running(api):
        old = supervisor_of(api)
        (await child_of(old)).kill()
        api.set_backend_configs(another.backend())
        await api.reload()

        await until(lambda: answer_of(port) == "second")
        await until(lambda: has_ended(old))
        await kill_child(supervisor_of(api))
        await until(lambda: answer_of(port) == "second")


async def test_a_request_under_way_survives_a_reload(
    folder: Path, port: int, replica: Replica, another: Replica
) -> None:
    api = api_of(folder, port, replica.backend())
    async with running(api):
        slow = asyncio.create_task(asyncio.to_thread(answer_of, port, "/slow"))
        await until(replica.has_request.is_set)
        old = supervisor_of(api)
        api.set_backend_configs(another.backend())
        await api.reload()
        await until(lambda: answer_of(port) == "second")

        assert not has_ended(old)
        replica.is_free.set()
        assert await slow == "first"
        await until(lambda: has_ended(old))


async def test_serves_kill_ends_haproxy_too(folder: Path, port: int, replica: Replica) -> None:
    api = api_of(folder, port, replica.backend())
    async with running(api):
        child = await child_of(supervisor_of(api))

    await until(lambda: has_ended(child))
    assert answer_of(port) == ""


async def test_it_ends_with_its_node_whoever_its_parent_is(
    folder: Path, port: int, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manager that is killed while it starts this process leaves it to a parent that never ends."""
    node = await asyncio.create_subprocess_exec("sleep", "600")
    try:
        monkeypatch.setenv("RAY_RAYLET_PID", str(node.pid))
        api = api_of(folder, port, replica.backend())
        async with running(api):
            supervisor = supervisor_of(api)
            child = await child_of(supervisor)
            assert not has_ended(supervisor)

            node.kill()
            await node.wait()
            await until(lambda: has_ended(supervisor) and has_ended(child))
    finally:
        with suppress(ProcessLookupError):
            node.kill()


async def test_the_next_manager_takes_over_from_a_dead_one_with_its_routes(
    folder: Path, port: int, replica: Replica, another: Replica
) -> None:
    dead = api_of(folder, port, replica.backend())
    async with running(dead):
        orphan = supervisor_of(dead)
        api = api_of(folder, port, {})
        async with running(api):
            await until(lambda: has_ended(orphan))
            assert answer_of(port) == "first"

            api.set_backend_configs(another.backend())
            await api.reload()
            await until(lambda: answer_of(port) == "second")


async def test_a_port_in_use_is_an_error_and_leaves_no_file(folder: Path, replica: Replica) -> None:
    api = api_of(folder, replica.server.server_port, replica.backend())

    with pytest.raises(RuntimeError, match="cannot bind socket"):
        await api.start()

    assert {name for name in os.listdir(folder) if name.endswith((".cfg", ".sock"))} == {"haproxy.cfg"}


REPEATED = ("GET /v1/files", "POST /v1/query", "POST /v1/vector_stores/vs_1/search", "POST /rerank")
NOT_REPEATED = ("POST /v1/files", "DELETE /v1/files/file_1", "POST /v1/responses", "POST /v1/vector_stores/vs_1/files")


async def test_what_stores_nothing_goes_to_another_replica_if_its_own_dies(
    folder: Path, port: int, replica: Replica, another: Replica
) -> None:
    replica.is_dying = True
    api = api_of(folder, port, replica.backend(another))
    async with running(api):
        for request in REPEATED:
            await until(lambda request=request: send(port, request) == (200, "second") and request in replica.paths)
        for request in NOT_REPEATED:
            await until(lambda request=request: send(port, request) == (503, "stage_unavailable"))

    assert all(replica.paths.count(request) == 1 for request in NOT_REPEATED)


async def test_every_request_goes_to_serves_proxy_while_no_replica_listens(
    folder: Path, port: int, replica: Replica, another: Replica
) -> None:
    replica.end()
    api = api_of(folder, port, replica.backend(fallback=another))
    async with running(api):
        answers = [send(port, request) for request in (*REPEATED, *NOT_REPEATED)]

    assert answers == [(200, "second")] * len(answers)


async def test_a_question_whose_body_comes_later_goes_to_another_replica_too(
    folder: Path, port: int, replica: Replica, another: Replica
) -> None:
    """Clients send headers and body apart. HAProxy keeps only a request that it had whole before it sent it on."""
    replica.is_dying, answers = True, list[str]()

    def has_asked_both() -> bool:
        answers.append(send_apart(port, "/v1/query"))
        return "POST /v1/query" in replica.paths

    async with running(api_of(folder, port, replica.backend(another))):
        await until(has_asked_both)

    assert set(answers) == {"second"}


def send_apart(port: int, path: str) -> str:
    """The text of the answer to a request whose body follows when HAProxy has had its headers for a while."""
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:

        def body() -> Iterator[bytes]:
            time.sleep(5 * POLL_S)
            yield b'{"query": "x"}'

        headers = {"content-length": "14"}
        return http.post(f"http://127.0.0.1:{port}{path}", content=body(), headers=headers).text


def send(port: int, request: str) -> tuple[int, str]:
    method, path = request.split()
    content = b"" if method == "GET" else b'{"query": "x"}'
    response = httpx.request(
        method, f"http://127.0.0.1:{port}{path}", content=content, trust_env=False, timeout=PATIENCE_S
    )
    return response.status_code, response.text if response.status_code == 200 else response.json()["error"]["code"]
