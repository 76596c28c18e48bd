"""What Ray reads from the environment: two services on one machine get ports of their own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.cluster import environment
from deployments.cluster.environment import (
    FIRST_PORT,
    INGRESS_PORTS,
    INGRESS_RANGE,
    LAST_PORT,
    OWN_PORTS,
    RANGE,
    free_port,
    free_range,
)
from tests.conftest import ROOT

PRINT_PORTS = (
    "import os; from deployments.cluster import environment as e; e.apply(); print(*(os.environ[n] for n in {names}))"
)


def ports_of(names: tuple[str, ...], **environment: str) -> list[int]:
    """What a new process chooses."""
    inherited = {name: value for name, value in os.environ.items() if name not in OWN_PORTS}
    code = PRINT_PORTS.format(names=names)
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True)
    return [int(port) for port in output.stdout.split()]


def test_a_service_takes_a_range_of_its_own() -> None:
    first, last = ports_of(INGRESS_PORTS)

    assert FIRST_PORT <= first < last == first + INGRESS_RANGE - 1 < LAST_PORT + INGRESS_RANGE


def test_haproxys_ports_are_none_that_linux_gives_to_clients_nor_an_ingress_ones() -> None:
    *haproxy, first, last = ports_of(OWN_PORTS)

    assert haproxy == list(range(last + 1, first + RANGE))
    assert max(haproxy) < 32_768


def test_a_free_port_is_none_that_linux_gives_to_clients() -> None:
    assert 61_000 <= free_port() < 65_536


def test_an_operators_own_range_stands() -> None:
    assert ports_of(INGRESS_PORTS, **dict(zip(INGRESS_PORTS, ("25000", "25010"), strict=True))) == [25000, 25010]


@pytest.mark.parametrize("offset", [0, INGRESS_RANGE])
def test_a_range_where_an_ingress_or_haproxy_listens_is_another_services(offset: int) -> None:
    with socket.socket() as taken:
        first = free_range()
        taken.bind(("127.0.0.1", first + offset))
        taken.listen()

        assert first not in {free_range() for _ in range(500)}


def test_haproxys_files_are_in_a_folder_that_others_cannot_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = environment.private_folder()
    status = folder.stat()
    assert (status.st_uid, status.st_mode & 0o777) == (os.getuid(), 0o700)

    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)  # the folder of a user whom another one forestalled
    forestalled = Path("/tmp/ragserve-4000000")
    forestalled.mkdir(mode=0o755, exist_ok=True)
    try:
        other = environment.private_folder()
        assert other != forestalled
        assert other.stat().st_mode & 0o777 == 0o700
        other.rmdir()
    finally:
        forestalled.rmdir()


def test_rays_sessions_are_in_a_folder_that_others_cannot_enter() -> None:
    """Ray gives each of them the mode 0777, whenever a worker starts."""
    code = (
        "import os; from deployments.cluster import environment; environment.apply(); print(os.environ['RAY_TMPDIR'])"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_TMPDIR"}
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True, check=True)

    folder = Path(output.stdout.strip())
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (os.getuid(), 0o700)
    # A socket's path has at most 107 characters.
    assert len(f"{folder}/ray/session_2026-11-30_02-10-47_103089_4194304/sockets/plasma_store") < 100
