"""The metrics of a node's processes on one port, as Prometheus reads them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.cluster.environment import free_port
from deployments.telemetry.exposition import FOLDER, MULTIPROCESS, PORT
from tests.patience import PATIENCE_S

REPLICA = """
import sys
from deployments.telemetry import metrics
from deployments.telemetry.start import start_telemetry
start_telemetry("probe")
metrics.STAGE_TOKENS.labels("probe").inc(int(sys.argv[1]))
metrics.STAGE_COMPUTE_SECONDS.labels("probe").observe(0.5)
print("ready", flush=True)
sys.stdin.read()
"""
Samples = dict[str, float]


class Node:
    """The processes of one node, and the port of its metrics."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._environment = os.environ | {FOLDER: str(folder / "metrics"), PORT: str(self.port)}
        self._environment.pop(MULTIPROCESS, None)
        self.replicas: list[subprocess.Popen[str]] = []

    def start(self, num_tokens: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", REPLICA, str(num_tokens)]
        pipe = subprocess.PIPE
        replica = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=self._environment)
        self.replicas.append(replica)
        assert replica.stdout is not None
        assert replica.stdout.readline() == "ready\n"
        return replica

    def samples(self) -> Samples:
        """By name, of the stage `probe`."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        families = text_string_to_metric_families(text)
        return {
            sample.name: sample.value
            for family in families
            for sample in family.samples
            if sample.labels == {"stage": "probe"}
        }

    def until(self, is_met: Callable[[Samples], bool]) -> Samples:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                if is_met(samples := self.samples()):
                    return samples
            except httpx.TransportError:
                pass  # no replica listens at the moment
            time.sleep(0.1)
        raise AssertionError("the metrics never came")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node(tmp_path)
    yield started
    for replica in started.replicas:
        replica.kill()
        replica.communicate()


def test_counters_survive_the_replica_that_serves_them_and_gauges_do_not(node: Node) -> None:
    first = node.start(num_tokens=3)
    node.until(lambda samples: samples.get("ragserve_stage_tokens_total") == 3)
    node.start(num_tokens=4)
    both = node.until(lambda samples: samples.get("ragserve_stage_tokens_total") == 7)

    first.kill()
    first.communicate()
    after = node.until(lambda samples: samples.get("ragserve_replicas") == 1)

    assert both["ragserve_replicas"] == 2
    assert after["ragserve_stage_tokens_total"] == 7
    assert (after["ragserve_stage_compute_seconds_count"], after["ragserve_stage_compute_seconds_sum"]) == (2, 1.0)
