"""CPU time by process."""

import os
import subprocess
import sys

import pytest

from serve.cli.driver.process_cpu import COMMAND, cpu_seconds, process_name

COMPUTE = "import sys; sum(range(10**7)); print('done', flush=True); sys.stdin.read()"


@pytest.mark.parametrize(
    ("command_line", "name"),
    [
        ("ray::ServeReplica:ragserve:Embedder.run", "Embedder"),
        ("ray::ServeReplica:ragserve:Ingress", "Ingress"),
        ("ray::ServeController.listen_for_change", "Serve's controller"),
        ("/site-packages/ray/core/src/ray/raylet/raylet --raylet_socket_name=x", "Ray"),
        ("haproxy -f /tmp/haproxy.cfg", "HAProxy"),
        ("python -m serve.cli up", COMMAND),
    ],
)
def test_a_process_is_named_by_what_it_is(command_line: str, name: str) -> None:
    assert process_name(command_line) == name


def test_the_cpu_of_descendants_counts() -> None:
    before = sum(cpu_seconds(os.getpid()).values())
    with subprocess.Popen([sys.executable, "-c", COMPUTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        after = sum(cpu_seconds(os.getpid()).values())

    assert after > before
