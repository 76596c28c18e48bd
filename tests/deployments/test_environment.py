"""What Ray reads from the environment: two services on one machine get ports of their own."""

import os
import socket
import subprocess
import sys

from deployments.environment import (
    FIRST_INGRESS_PORT,
    HAPROXY_PORTS,
    INGRESS_PORTS,
    INGRESS_RANGE,
    LAST_INGRESS_PORT,
    OWN_PORTS,
    free_range,
)
from tests.conftest import ROOT

PRINT_PORTS = "import os; from deployments import environment as e; e.apply(); print(*(os.environ[n] for n in {names}))"


def ports_of(names: tuple[str, ...], **environment: str) -> list[int]:
    """What a new process chooses."""
    inherited = {name: value for name, value in os.environ.items() if name not in OWN_PORTS}
    code = PRINT_PORTS.format(names=names)
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True)
    return [int(port) for port in output.stdout.split()]


def test_a_service_takes_a_range_of_its_own() -> None:
    first, last = ports_of(INGRESS_PORTS)

    assert FIRST_INGRESS_PORT <= first < last == first + INGRESS_RANGE - 1 < LAST_INGRESS_PORT + INGRESS_RANGE


def test_two_services_share_no_port() -> None:
    assert not set(ports_of(HAPROXY_PORTS)) & set(ports_of(HAPROXY_PORTS))


def test_an_operators_own_range_stands() -> None:
    assert ports_of(INGRESS_PORTS, **dict(zip(INGRESS_PORTS, ("25000", "25010"), strict=True))) == [25000, 25010]


def test_a_range_whose_first_port_is_taken_is_another_services() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_range()))
        taken.listen()

        assert taken.getsockname()[1] not in {free_range() for _ in range(500)}
