"""What Ray reads from the environment: two services on one machine get ports of their own."""

import os
import socket
import subprocess
import sys

from deployments.environment import FIRST_INGRESS_PORT, INGRESS_PORTS, INGRESS_RANGE, LAST_INGRESS_PORT, free_range
from tests.conftest import ROOT

PRINT_RANGE = (
    "import os; from deployments import environment as e; e.apply(); print(*(os.environ[n] for n in e.{names}))"
)


def range_of(**environment: str) -> list[int]:
    """The range that a new process chooses."""
    inherited = {name: value for name, value in os.environ.items() if name not in INGRESS_PORTS}
    code = PRINT_RANGE.format(names="INGRESS_PORTS")
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True)
    return [int(port) for port in output.stdout.split()]


def test_a_service_takes_a_range_of_its_own() -> None:
    first, last = range_of()

    assert FIRST_INGRESS_PORT <= first < last == first + INGRESS_RANGE - 1 < LAST_INGRESS_PORT + INGRESS_RANGE


def test_an_operators_own_range_stands() -> None:
    assert range_of(**dict(zip(INGRESS_PORTS, ("25000", "25010"), strict=True))) == [25000, 25010]


def test_a_range_whose_first_port_is_taken_is_another_services() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_range()))
        taken.listen()

        assert taken.getsockname()[1] not in {free_range() for _ in range(500)}
