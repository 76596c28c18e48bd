"""HAProxy as Serve starts it through our program: what listens where, and what it answers by itself."""

import os
import re
import socket
import ssl
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from ray.serve._private.haproxy import HAProxyApi, HAProxyConfig
from ray.serve.config import HTTPOptions

from deployments.cluster import haproxy
from deployments.cluster.certificate import renew_certificate
from deployments.cluster.environment import free_port
from deployments.cluster.haproxy_errors import REFUSALS, REQUEST_S, write_error_files
from models.errors.configuration import ConfigError
from serve.api.errors import ErrorBody
from serve.cli.remote import RemoteError, RemoteService, UnreachableError
from serve.middleware import LIMITED
from tests.certificates import pair
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


def start(folder: Path, rules: str, environment: dict[str, str]) -> Started:
    path, config = serves_config(folder)
    path.write_text(re.sub(r"(frontend http_frontend\n.*\n)", rf"\1{rules}", path.read_text()))
    environment = dict(os.environ) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | environment
    process = psutil.Popen([haproxy.__file__, "-db", "-f", str(path)], env=environment)
    started = Started(process, folder, config.frontend_port, config.stats_port, config.metrics_port)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and not (_listens(started.port) and (folder / "admin.sock").exists()):
        assert process.poll() is None, "HAProxy ended"
        time.sleep(0.05)
    return started


@contextmanager
def running(folder: Path, rules: str = "", **environment: str) -> Iterator[Started]:
    """HAProxy with Serve's configuration, and further `rules` for its requests."""
    started = start(folder, rules, environment)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@pytest.fixture
def started(folder: Path) -> Iterator[Started]:
    with running(folder) as started:
        yield started


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
    response = httpx.post(f"http://127.0.0.1:{started.port}/v1/query", json={"query": "x"}, timeout=PATIENCE_S)

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"]["code"] == "stage_unavailable"


def test_every_refusal_of_haproxy_is_json(folder: Path) -> None:
    rules = [f"    http-request deny deny_status {status} if {{ path /{status} }}\n" for status in REFUSALS]

    with running(folder, rules="".join(rules)) as started:
        answers = {
            status: httpx.get(f"http://127.0.0.1:{started.port}/{status}", timeout=PATIENCE_S) for status in REFUSALS
        }

    for status, answer in answers.items():
        # Serve's own configuration has a file for 502 and 504: it gets the text of a 503.
        assert answer.status_code == (503 if status in (502, 504) else status)
        assert answer.headers["content-type"] == "application/json"
        assert ErrorBody.model_validate(answer.json()).error.code
    assert answers[429].headers["retry-after"] == "1"


def test_what_is_no_request_of_an_api_is_refused_in_json(started: Started) -> None:
    """A replica would answer with plain text, and no replica takes `*`: it was a 503, to be tried again."""
    statuses = {}
    for line in ("CONNECT localhost:1", "get /healthz", "BREW /healthz", "OPTIONS *"):
        with socket.create_connection(("127.0.0.1", started.port), PATIENCE_S) as connection:
            connection.sendall(f"{line} HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n".encode())
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        statuses[line.split()[0]] = int(head.split()[1])
        assert ErrorBody.model_validate_json(body).error.code in ("method_not_allowed", "not_found")

    assert statuses == {"CONNECT": 405, "get": 405, "BREW": 405, "OPTIONS": 404}


def test_no_request_becomes_a_web_socket(folder: Path) -> None:
    """A replica answers one with a 403 that has no body."""
    rule = "    http-request return status 204 if { req.hdr(upgrade) -m found }\n"
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    headers["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    with running(folder, rules=rule) as started:
        response = httpx.get(f"http://127.0.0.1:{started.port}/v1/models", headers=headers, timeout=PATIENCE_S)

    assert response.status_code == 503  # it went on to the replicas, of which there are none


def test_every_page_of_haproxy_that_can_be_replaced_is() -> None:
    program = Path(haproxy._binary()).read_bytes()

    statuses = {int(status) for status in re.findall(rb"HTTP/1\.1 ([45][0-9]{2}) [A-Z]", program)}

    assert statuses == REFUSALS.keys()


def test_headers_have_a_time_to_arrive(started: Started) -> None:
    assert f"timeout http-request {REQUEST_S}s" in (started.folder / "haproxy.cfg").read_text()


def test_a_service_on_every_address_keeps_its_statistics_to_itself(folder: Path) -> None:
    path, config = serves_config(folder, "0.0.0.0")

    text = haproxy.hardened(path.read_text())

    assert f"bind 127.0.0.1:{config.stats_port}" in text
    assert f"bind *:{config.metrics_port}" in text
    assert f"bind *:{config.frontend_port}" in text


def test_the_error_of_a_dead_replica_is_json(folder: Path) -> None:
    path, _ = serves_config(folder)
    write_error_files(path.read_text())

    head, _, body = (folder / "500.http").read_bytes().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 ")
    assert f"content-length: {len(body)}".encode() in head


def with_tls(folder: Path, pem: Path) -> AbstractContextManager[Started]:
    return running(folder, **{haproxy.TLS_CERTIFICATE: str(pem)})


def served_certificate(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE_S)


def test_with_a_certificate_it_speaks_tls(folder: Path) -> None:
    own = pair()
    (folder / "authority.pem").write_text(own.certificate)
    trusting = ssl.create_default_context(cafile=folder / "authority.pem")
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    with with_tls(folder, own.write(folder / 'of "all" hosts.pem')) as started:
        url = f"https://127.0.0.1:{started.port}/v1/files"
        assert httpx.get(url, verify=trusting, timeout=PATIENCE_S).status_code == 503
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(url, timeout=PATIENCE_S)


def test_the_commands_on_its_machine_trust_a_certificate_of_any_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = pair("rag.example.com").write(folder / "service.pem")
    (folder / "stranger.pem").write_text(pair("rag.example.com").certificate)
    monkeypatch.setenv("RAGSERVE_TLS_CERTIFICATE", str(pem))

    with with_tls(folder, pem) as started:
        url = f"https://127.0.0.1:{started.port}"
        with RemoteService(url, PATIENCE_S) as service, pytest.raises(RemoteError, match="no replica of the ingress"):
            service.check_key()
        monkeypatch.setenv("RAGSERVE_TLS_CERTIFICATE", str(folder / "stranger.pem"))
        with RemoteService(url, PATIENCE_S) as service, pytest.raises(UnreachableError, match="certificate verify"):
            service.check_key()


def test_a_renewed_certificate_is_served_to_new_connections(folder: Path) -> None:
    old, new = pair(), pair()
    pem = old.write(folder / "of this host.pem")

    with with_tls(folder, pem) as started:
        before = served_certificate(started.port)
        new.write(pem)
        renew_certificate(folder / "admin.sock", pem)
        after = served_certificate(started.port)

    assert (before, after) == (old.certificate, new.certificate)


def test_a_broken_renewal_keeps_the_old_certificate(folder: Path) -> None:
    old = pair()
    pem = old.write(folder / "service.pem")

    with with_tls(folder, pem) as started:
        pem.write_text(pair().certificate)
        with pytest.raises(ConfigError, match="HAProxy did not take it"):
            renew_certificate(folder / "admin.sock", pem)
        after = served_certificate(started.port)

    assert after == old.certificate


def test_a_renewal_without_haproxy_is_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="HAProxy did not take it: No such file"):
        renew_certificate(folder / "admin.sock", pair().write(folder / "service.pem"))


def test_every_question_that_stores_nothing_is_sent_again() -> None:
    storing, search = {"/v1/responses", "/mcp"}, "/v1/vector_stores/{vector_store_id}/search"

    assert {*haproxy.REPEATABLE, search} == set(LIMITED) - storing


def test_a_configuration_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        haproxy.hardened("global\n")
