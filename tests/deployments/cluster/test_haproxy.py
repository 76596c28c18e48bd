"""HAProxy as Serve starts it through our program: what listens where, and what it answers by itself."""

import os
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from ray.serve._private.haproxy import HAProxyApi, HAProxyConfig
from ray.serve.config import HTTPOptions

from deployments.cluster import haproxy
from deployments.cluster.environment import free_port
from tests.patience import PATIENCE_S


@dataclass(frozen=True)
class Started:
    process: psutil.Process
    folder: Path
    port: int
    stats_port: int
    metrics_port: int


def serves_config(folder: Path, host: str = "127.0.0.1") -> tuple[Path, HAProxyConfig]:
    """The configuration that Serve writes before it has an application."""
    config = HAProxyConfig(
        http_options=HTTPOptions(host=host, port=free_port()),
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        metrics_socket_path=str(folder / "metrics.sock"),
        stats_port=free_port(),
        metrics_port=free_port(),
    )
    path = folder / "haproxy.cfg"
    HAProxyApi(cfg=config, config_file_path=str(path))._generate_config_file_internal()
    return path, config


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as short:  # a socket's path has at most 108 characters
        yield Path(short)


def start(folder: Path, host: str = "127.0.0.1", **environment: str) -> Started:
    path, config = serves_config(folder, host)
    environment = dict(os.environ) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | environment
    process = psutil.Popen([haproxy.__file__, "-db", "-f", str(path)], env=environment)
    started = Started(process, folder, config.frontend_port, config.stats_port, config.metrics_port)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and not (_listens(started.port) and (folder / "admin.sock").exists()):
        assert process.poll() is None, "HAProxy ended"
        time.sleep(0.05)
    return started


@pytest.fixture
def started(folder: Path) -> Iterator[Started]:
    running = start(folder)
    yield running
    running.process.kill()
    running.process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_nothing_listens_but_on_the_loopback_address(started: Started) -> None:
    (child,) = started.process.children()

    addresses = {each.laddr.port: each.laddr.ip for each in child.net_connections("tcp") if not each.raddr}

    assert addresses == dict.fromkeys((started.port, started.stats_port, started.metrics_port), "127.0.0.1")


def test_the_admin_socket_and_the_configuration_are_the_owners_alone(started: Started) -> None:
    own_config = started.folder / f"{started.process.pid}.cfg"

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (*started.folder.glob("*.sock"), own_config)
    }

    assert modes == dict.fromkeys(("admin.sock", f"{started.process.pid}.sock", own_config.name), 0)


def test_without_a_replica_it_answers_503_in_json(started: Started) -> None:
    response = httpx.post(f"http://127.0.0.1:{started.port}/v1/query", json={"query": "x"})

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"]["code"] == "stage_unavailable"


def test_headers_have_a_time_to_arrive(started: Started) -> None:
    assert f"timeout http-request {haproxy.REQUEST_S}s" in (started.folder / "haproxy.cfg").read_text()


def test_a_service_on_every_address_keeps_its_statistics_to_itself(folder: Path) -> None:
    path, config = serves_config(folder, "0.0.0.0")

    text = haproxy.hardened(path.read_text())

    assert f"bind 127.0.0.1:{config.stats_port}" in text
    assert f"bind *:{config.metrics_port}" in text
    assert f"bind *:{config.frontend_port}" in text


def test_the_error_of_a_dead_replica_is_json(folder: Path) -> None:
    path, _ = serves_config(folder)
    haproxy.write_error_files(path.read_text())

    head, _, body = (folder / "500.http").read_bytes().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 ")
    assert f"content-length: {len(body)}".encode() in head


def test_with_a_certificate_it_speaks_tls(folder: Path) -> None:
    pem = folder / "service.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", pem, "-out", folder / "crt.pem"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (folder / "crt.pem").read_text())
    running = start(folder, **{haproxy.TLS_CERTIFICATE: str(pem)})
    try:
        response = httpx.get(
            f"https://127.0.0.1:{running.port}/v1/files", verify=ssl.create_default_context(cafile=folder / "crt.pem")
        )
    finally:
        running.process.kill()
        running.process.wait()

    assert response.status_code == 503


def test_a_configuration_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        haproxy.hardened("global\n")
