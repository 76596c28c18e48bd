"""`python -m serve.cli.bench.device`: the table of its smallest run, and the packages that it does without."""

import subprocess
import sys

import pytest

from serve.cli.bench.device.turns import Row, Side, compare, rate, table
from tests.conftest import ROOT

REFUSED = ("ray", "vllm", "fastapi", "starlette", "faiss", "tantivy", "sqlalchemy", "typer", "openvino")
RUN = f"""
import runpy, sys
sys.argv = ["device", "--quick", "--device", "cpu"]
runpy.run_module("serve.cli.bench.device", run_name="__main__")
loaded = sorted(name for name in {REFUSED!r} if name in sys.modules)
print("loaded:", loaded)
"""


@pytest.mark.slow
def test_the_smallest_run_compares_every_work_and_loads_no_service() -> None:
    done = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[0].startswith("cpu: ")
    works = ["embed", "embed", "cross-encode", "cross-encode", "MaxSim", "MaxSim", "search", "search"]
    assert [line.split()[1] for line in lines[4:12]] == works
    assert lines[-1] == "loaded: []"


def test_each_side_is_measured_its_best_way_and_the_gain_is_ours_over_theirs() -> None:
    calls: list[str] = []
    sides = (Side("ragserve", {"": lambda: calls.append("ours")}), Side("torch", {"plain": lambda: calls.append("t")}))

    ours, theirs = compare("add", "sums/s", 10, sides, turn_s=0.0, num_turns=1)

    assert (ours.by, theirs.by, ours.gain) == ("ragserve", "torch, plain", None)
    assert theirs.gain == ours.per_s / theirs.per_s
    assert set(calls) == {"ours", "t"}


def test_a_rate_counts_one_call_at_least_and_not_the_first() -> None:
    calls: list[int] = []

    assert rate(lambda: calls.append(1), 0.0) > 0

    assert len(calls) == 2


def test_the_table_is_markdown() -> None:
    rows = [Row("add", "ragserve", "sums/s", 1234.4), Row("add", "torch", "sums/s", 617.2, 2.0)]

    assert table(rows)[2:] == ["| add | ragserve | 1,234 sums/s |  |", "| add | torch | 617 sums/s | 2.00 |"]
