"""Metrics that are written together have the values that they would have had one by one."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry

from deployments.telemetry.buffered_metrics import BUFFER, Counter, Gauge, Histogram
from deployments.telemetry.exposition import FOLDER, MULTIPROCESS, folder_registry

NUM_THREADS, NUM_EACH = 8, 2_000
FORKING = """
import os, sys
from deployments.telemetry.metrics.stages import STAGE_TOKENS
STAGE_TOKENS.labels("probe").inc(3)
child = os.fork()
STAGE_TOKENS.labels("probe").inc(20 if child else 100)
if child:
    os.waitpid(child, 0)
"""

# The flush is in the middle of a write, with a lock, when the main thread forks.
FORKING_AT_A_FLUSH = """
import os, sys, threading, time
from prometheus_client import CollectorRegistry
from deployments.telemetry.buffered_metrics import Counter

lock, is_writing = threading.Lock(), threading.Event()

class Slow(Counter):
    def write(self, amounts):
        with lock:
            is_writing.set()
            time.sleep(0.2)

Slow("probe", "", registry=CollectorRegistry()).inc()
is_writing.wait()
child = os.fork()
if not child:
    os._exit(lock.locked())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_a_histogram_is_that_of_prometheus(registry: CollectorRegistry) -> None:
    kinds, amounts = (Histogram, prometheus_client.Histogram), [0.0, 1.0, 1.5, 2.0, 2.0, 7.0, float("inf"), -1.0]
    ours, theirs = (
        kind(f"probe_{number}", "", ["stage"], buckets=(1, 2, 5), registry=registry)
        for number, kind in enumerate(kinds)
    )
    for histogram in (ours, theirs):
        for amount in amounts:
            histogram.labels("embed").observe(amount)

    samples = [
        [(sample.name[len("probe_0") :], sample.labels, sample.value) for sample in metric.samples]
        for histogram in (ours, theirs)
        for metric in histogram.collect()
    ]

    comparable = [[sample for sample in each if sample[0] != "_created"] for each in samples]
    assert comparable[0] == comparable[1]
    assert len(comparable[0]) == 6  # four buckets, the count and the sum


def test_a_gauge_keeps_the_order_of_its_changes(registry: CollectorRegistry) -> None:
    gauge = Gauge("probe", "", registry=registry)
    gauge.inc(5)
    gauge.set(2)
    gauge.inc()
    first = value(registry, "probe")
    gauge.dec(4)
    gauge.inc(0.5)

    assert (first, value(registry, "probe")) == (3, -0.5)


def test_a_counter_does_not_go_down(registry: CollectorRegistry) -> None:
    counter = Counter("probe", "", registry=registry)
    counter.inc(2)
    with pytest.raises(ValueError, match="cannot go down by 1"):
        counter.inc(-1)

    assert value(registry, "probe_total") == 2


def test_nothing_is_lost_between_threads(registry: CollectorRegistry) -> None:
    counter = Counter("probe", "", ["stage"], registry=registry)

    def count() -> None:
        for _ in range(NUM_EACH):
            counter.labels("embed").inc()

    threads = [threading.Thread(target=count) for _ in range(NUM_THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        BUFFER.flush()
    for thread in threads:
        thread.join()

    assert value(registry, "probe_total", stage="embed") == NUM_THREADS * NUM_EACH


def test_processes_that_end_write_what_they_observed_and_a_fork_nothing_of_its_parent(tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if name != MULTIPROCESS} | {FOLDER: str(tmp_path)}
    subprocess.run([sys.executable, "-c", FORKING], env=environment, check=True)

    assert value(folder_registry(tmp_path), "ragserve_stage_tokens_total", stage="probe") == 3 + 20 + 100


def test_a_metric_that_fails_costs_no_other_one_its_observations(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Counter("broken", "", ["stage"], registry=registry)
    counter = Counter("probe", "", registry=registry)
    for _ in range(2):
        broken.inc()  # without its label
        counter.inc()
        BUFFER.flush()

    assert value(registry, "probe_total") == 2
    assert [record.message for record in caplog.records].count("observations of counter:broken are lost") == 1


def test_a_child_has_no_lock_of_its_parents_flush() -> None:
    subprocess.run([sys.executable, "-c", FORKING_AT_A_FLUSH], check=True)
