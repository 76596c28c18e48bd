"""The files of ended processes: merged into one a type, with each value once, whoever dies meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from deployments.telemetry.exposition import NodeCollector
from deployments.telemetry.metrics_files import LOCK, MANIFEST, MetricsFiles
from tests.patience import PATIENCE_S

NEVER = 10**9  # larger than any process id
HOLDS = ("counter_", "histogram_")
COUNTER = mmap_key("probe", "probe_total", ["stage"], ["dense"], "Probes.")
BUCKETS = [mmap_key("wait", "wait_bucket", ["le"], [bound], "Waits.") for bound in ("1.0", "+Inf")]
SUM = mmap_key("wait", "wait_sum", [], [], "Waits.")
ENGINE_GAUGE = mmap_key("vllm:waiting", "vllm:waiting", ["model_name"], ["tiny"], "Requests that wait.")
ENGINE_COUNTER = mmap_key("vllm:tokens", "vllm:tokens_total", ["model_name"], ["tiny"], "Tokens.")
MERGE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from deployments.telemetry.metrics_files import MetricsFiles

left = int(sys.argv[2])

def die_at_the_last(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.link"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die_at_the_last)
MetricsFiles(Path(sys.argv[1])).clean_up()
"""


def write(folder: Path, name: str, values: dict[str, float]) -> None:
    """A file as a process writes it; it appears complete."""
    file = MmapedDict(str(folder / "new"))
    for key, value in values.items():
        file.write_value(key, value, 1.0)
    file.close()
    (folder / "new").rename(folder / name)


def end_process(folder: Path, pid: int) -> None:
    """What a process leaves that counted 3, and observed 0.5 and 2."""
    write(folder, f"counter_{pid}.db", {COUNTER: 3.0})
    write(folder, f"histogram_{pid}.db", {BUCKETS[0]: 1.0, BUCKETS[1]: 1.0, SUM: 2.5})
    write(folder, f"gauge_livesum_{pid}.db", {mmap_key("size", "size", [], [], "Sizes."): 7.0})


def page(folder: Path) -> str:
    registry = CollectorRegistry()
    registry.register(NodeCollector(folder))
    return generate_latest(registry).decode()


def samples(folder: Path) -> dict[str, float]:
    rows = (line.rsplit(" ", 1) for line in page(folder).splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def expected(num_processes: int) -> dict[str, float]:
    return {
        'probe_total{stage="dense"}': 3.0 * num_processes,
        'wait_bucket{le="1.0"}': 1.0 * num_processes,
        'wait_bucket{le="+Inf"}': 2.0 * num_processes,
        "wait_count": 2.0 * num_processes,
        "wait_sum": 2.5 * num_processes,
    }


def test_files_of_ended_processes_become_one_a_type_and_their_gauges_go(tmp_path: Path) -> None:
    for number in range(5):
        end_process(tmp_path, NEVER + number)
    (tmp_path / f"{NEVER}.replica").write_text("gone")

    first, again = samples(tmp_path), samples(tmp_path)
    end_process(tmp_path, NEVER)  # a later process with the same id

    assert first == again == expected(5)
    assert samples(tmp_path) == expected(6)
    kinds = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert kinds == ["counter_merged", "histogram_merged", MANIFEST, LOCK]


def test_a_living_process_keeps_its_file(tmp_path: Path) -> None:
    end_process(tmp_path, NEVER)
    own = tmp_path / f"counter_{os.getpid()}.db"
    write(tmp_path, own.name, {COUNTER: 4.0})

    assert samples(tmp_path) == expected(1) | {'probe_total{stage="dense"}': 7.0}
    assert own.exists()

    MetricsFiles(tmp_path)._set_aside(own, os.getpid())  # as if it had begun with the id of an ended one just now
    assert own.exists()
    assert samples(tmp_path) == expected(1) | {'probe_total{stage="dense"}': 7.0}


def test_a_process_killed_while_it_merges_loses_and_doubles_nothing(tmp_path: Path) -> None:
    num_processes, steps = 0, 0
    while True:
        for _ in range(2):
            end_process(tmp_path, NEVER + num_processes)
            num_processes += 1
        merging = subprocess.run([sys.executable, "-c", MERGE_AND_DIE, str(tmp_path), str(steps)], check=False)
        before_cleaning = [path.name for path in MetricsFiles(tmp_path).current() if path.name.startswith(HOLDS)]

        assert before_cleaning
        assert samples(tmp_path) == expected(num_processes), f"killed at step {steps}"
        if merging.returncode == 0:
            break
        assert merging.returncode == -signal.SIGKILL
        steps += 1

    assert steps > 8


def test_a_reader_beside_a_killed_merge_sees_each_value_once(tmp_path: Path) -> None:
    """The lock of the merge is held by another process, so nothing is repaired before it is read."""
    end_process(tmp_path, NEVER)
    end_process(tmp_path, NEVER + 1)
    for steps in range(12):
        subprocess.run([sys.executable, "-c", MERGE_AND_DIE, str(tmp_path), str(steps)], check=False)
        with MetricsFiles(tmp_path)._merging() as is_mine:
            assert is_mine
            read = samples(tmp_path)

        assert {name: value for name, value in read.items() if name != "size"} == expected(2)


def test_a_scrape_beside_a_merge_never_sees_a_counter_fall(tmp_path: Path) -> None:
    seen: list[float] = []
    is_over, has_scraped = threading.Event(), threading.Event()

    def scrape() -> None:
        while not is_over.is_set():
            seen.append(samples(tmp_path).get('probe_total{stage="dense"}', 0.0))
            has_scraped.set()

    def until_scraped() -> None:
        has_scraped.clear()
        assert has_scraped.wait(PATIENCE_S)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        for number in range(20):
            end_process(tmp_path, NEVER + number)
            MetricsFiles(tmp_path).clean_up()
            until_scraped()
    finally:
        is_over.set()
        scraper.join(PATIENCE_S)

    assert seen == sorted(seen)
    assert samples(tmp_path) == expected(20)


@pytest.mark.parametrize("merged_first", [False, True])
def test_gauges_of_engines_have_their_replica_and_one_help_line(tmp_path: Path, merged_first: bool) -> None:
    living = {os.getpid(): "replica-a", os.getppid(): "replica-b"}
    for number, (pid, replica) in enumerate(living.items()):
        write(tmp_path, f"gauge_mostrecent_{pid}.db", {ENGINE_GAUGE: 5.0 + number})
        write(tmp_path, f"counter_{pid}.db", {ENGINE_COUNTER: 10.0})
        (tmp_path / f"{pid}.replica").write_text(replica)
    if merged_first:
        write(tmp_path, f"gauge_mostrecent_{NEVER}.db", {ENGINE_GAUGE: 9.0})
        write(tmp_path, f"counter_{NEVER}.db", {ENGINE_COUNTER: 100.0})

    text = page(tmp_path)

    assert samples(tmp_path) == {
        'vllm:waiting{model_name="tiny",replica="replica-a"}': 5.0,
        'vllm:waiting{model_name="tiny",replica="replica-b"}': 6.0,
        'vllm:tokens_total{model_name="tiny"}': 120.0 if merged_first else 20.0,
    }
    helps = [line for line in text.splitlines() if line.startswith("# HELP")]
    assert len(helps) == len(set(helps)) == 2
