"""The metrics of a node's processes on one port, as Prometheus reads them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.cluster.environment import free_port
from deployments.telemetry import hung_exporter
from deployments.telemetry.exporter import exporter_lock, is_free
from deployments.telemetry.exporter_process import MAX_RETRY_S, RETRY_S, metrics_folder, next_delay_s
from deployments.telemetry.exposition import FOLDER, MULTIPROCESS, PORT
from tests.patience import PATIENCE_S

REPLICA = """
import sys
from deployments.telemetry import hung_exporter
from deployments.telemetry.metrics.stages import STAGE_COMPUTE_SECONDS, STAGE_TOKENS
hung_exporter.PROBE_S, hung_exporter.PROBE_TIMEOUT_S, hung_exporter.LATE_S = map(float, sys.argv[2:])
from deployments.telemetry.start import start_telemetry
start_telemetry("probe")
STAGE_TOKENS.labels("probe").inc(int(sys.argv[1]))
STAGE_COMPUTE_SECONDS.labels("probe").observe(0.5)
print("ready", flush=True)
sys.stdin.read()
"""
Samples = dict[str, float]
AS_SHIPPED = hung_exporter.PROBE_S, hung_exporter.PROBE_TIMEOUT_S, hung_exporter.LATE_S


def wait_until_free(lock: IO[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_free(lock):
        assert time.monotonic() < end
        time.sleep(0.05)


class Node:
    """The processes of one node, and the port of its metrics."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self._environment = os.environ | {FOLDER: str(folder), PORT: str(self.port)}
        self._environment.pop(MULTIPROCESS, None)
        self.probes = AS_SHIPPED
        self.replicas: list[subprocess.Popen[str]] = []

    def start(self, num_tokens: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", REPLICA, *map(str, (num_tokens, *self.probes))]
        pipe = subprocess.PIPE
        replica = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=self._environment)
        self.replicas.append(replica)
        assert replica.stdout is not None
        assert replica.stdout.readline() == "ready\n"
        return replica

    def kill_replicas(self) -> None:
        for replica in self.replicas:
            replica.kill()
            replica.communicate()

    def samples(self) -> Samples:
        """By name, of the stage `probe`."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=PATIENCE_S, trust_env=False).text
        families = text_string_to_metric_families(text)
        return {
            sample.name: sample.value
            for family in families
            for sample in family.samples
            if sample.labels == {"stage": "probe"}
        }

    @property
    def exporter_pid(self) -> int:
        """Of the process that serves the port, or that served it last."""
        return int(exporter_lock(self.folder, self.port).read_text() or 0)

    def wait_until_exporter_ended(self) -> None:
        with exporter_lock(self.folder, self.port).open("a") as lock:
            wait_until_free(lock)

    def until_counted(self, num_tokens: int, num_batches: int) -> Samples:
        """Replicas write what they observed a moment later."""
        expected = {
            "ragserve_stage_tokens_total": num_tokens,
            "ragserve_stage_compute_seconds_count": num_batches,
            "ragserve_replicas": num_batches,
        }
        return self.until(lambda samples: expected.items() <= samples.items())

    def until(self, is_met: Callable[[Samples], bool]) -> Samples:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                if is_met(samples := self.samples()):
                    return samples
            except httpx.TransportError:
                pass  # no exporter listens at the moment
            time.sleep(0.1)
        raise AssertionError("the metrics never came")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node(tmp_path / "metrics")
    yield started
    started.kill_replicas()
    started.wait_until_exporter_ended()


def test_counters_survive_their_replica_and_gauges_do_not(node: Node) -> None:
    first = node.start(num_tokens=3)
    node.until_counted(3, 1)
    node.start(num_tokens=4)
    node.until_counted(7, 2)

    first.kill()
    first.communicate()
    after = node.until(lambda samples: samples.get("ragserve_replicas") == 1)

    assert after["ragserve_stage_tokens_total"] == 7
    assert (after["ragserve_stage_compute_seconds_count"], after["ragserve_stage_compute_seconds_sum"]) == (2, 1.0)


def test_stopped_replicas_do_not_hide_the_metrics(node: Node) -> None:
    node.start(num_tokens=3)
    node.start(num_tokens=4)
    node.until_counted(7, 2)

    for replica in node.replicas:
        replica.send_signal(signal.SIGSTOP)
        os.waitpid(replica.pid, os.WUNTRACED)

        assert node.samples()["ragserve_stage_tokens_total"] == 7


def test_the_exporter_outlives_its_starter_and_ends_with_the_last_replica(node: Node) -> None:
    starter = node.start(num_tokens=3)
    node.until_counted(3, 1)
    exporter_pid = node.exporter_pid
    node.start(num_tokens=4)
    second = [sys.executable, "-m", "deployments.telemetry.exporter", str(node.folder), "127.0.0.1", str(node.port)]
    subprocess.run(second, check=True)
    node.until_counted(7, 2)

    starter.kill()
    starter.communicate()
    node.until(lambda samples: samples.get("ragserve_replicas") == 1)
    assert node.exporter_pid == exporter_pid

    node.kill_replicas()
    node.wait_until_exporter_ended()
    with pytest.raises(httpx.TransportError):
        node.samples()


def test_a_killed_exporter_is_replaced(node: Node) -> None:
    node.start(num_tokens=3)
    node.until_counted(3, 1)
    killed = node.exporter_pid

    os.kill(killed, signal.SIGKILL)

    node.until(lambda samples: bool(samples) and node.exporter_pid != killed)
    assert node.samples()["ragserve_stage_tokens_total"] == 3


def test_an_exporter_that_stands_still_is_replaced(node: Node) -> None:
    node.probes = 0.0, 1.0, 1.0
    node.start(num_tokens=3)
    node.until(bool)
    frozen = node.exporter_pid

    os.kill(frozen, signal.SIGSTOP)

    node.until(lambda samples: node.exporter_pid != frozen and samples["ragserve_stage_tokens_total"] == 3)


def test_only_an_exporter_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hung_exporter, "LATE_S", 0.0)
    monkeypatch.setattr(hung_exporter, "PROBE_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, subprocess.Popen(["sleep", "600"]) as other:
        port = silent.getsockname()[1]
        with exporter_lock(tmp_path, port).open("a") as lock:
            lock.write(str(other.pid))
            lock.flush()
            assert is_free(lock)  # it is taken now
            hung = hung_exporter.HungExporter(tmp_path, "127.0.0.1", port)
            for _ in range(3):
                hung.look()
        is_running = other.poll() is None
        other.kill()

    assert is_running


def test_an_exporter_that_does_not_come_is_tried_less_and_less_often() -> None:
    delays = [0.0]
    while delays[-1] < MAX_RETRY_S:
        delays.append(next_delay_s(delays[-1], is_served=False))

    assert delays[1:] == [2, 4, 8, 16, 32, 60]
    assert next_delay_s(MAX_RETRY_S, is_served=True) == RETRY_S


def test_the_exporter_ends_with_its_folder_though_a_replica_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    with ExitStack() as at_end:
        with metrics_folder():
            node = Node(Path(os.environ[FOLDER]))
            at_end.callback(node.kill_replicas)
            node.start(num_tokens=3)
            node.until(bool)
            node.replicas[0].send_signal(signal.SIGSTOP)
            lock = at_end.enter_context(exporter_lock(node.folder, node.port).open("a"))

        assert not node.folder.exists()
        wait_until_free(lock)
