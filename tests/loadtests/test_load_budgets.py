"""Shapes, budgets and the report of a load test."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from loadtests.budgets import Budget, Budgets, Samples, quantile, violations
from loadtests.recorder import Recorder, Sample
from loadtests.report import write_report
from loadtests.shapes import SHAPES


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape_reaches_its_peak_and_ends(name: str) -> None:
    users = [SHAPES[name].users(second, 100, 20) for second in range(101)]

    assert users[-1] is None
    assert max(count for count in users if count is not None) == 20
    assert min(count for count in users if count is not None) >= 1


def test_a_step_goes_from_a_fifth_to_the_peak_and_back() -> None:
    assert [SHAPES["step"].users(second, 90, 10) for second in (0, 29, 30, 59, 60, 89)] == [2, 2, 10, 10, 2, 2]


def test_quantiles_are_by_nearest_rank() -> None:
    assert [quantile([3.0, 1.0, 2.0, 4.0], fraction) for fraction in (0.5, 0.95)] == [3.0, 4.0]


def test_every_exceeded_limit_is_named() -> None:
    budgets = Budgets({"query": Budget(p50_s=0.5, p95_s=1, ttft_p95_s=0.2, max_error_ratio=0.1)})
    samples = {"query": Samples([0.6] * 9 + [2.0], [0.3], 2), "free": Samples([9.0], [], 1)}

    assert violations(budgets, samples) == [
        "query: 16.7% errors, 10.0% allowed",
        "query: p50 0.600 s, 0.5 s allowed",
        "query: p95 2.000 s, 1 s allowed",
        "query: time to first text, p95 0.300 s, 0.2 s allowed",
    ]
    assert violations(budgets, {"query": Samples([0.1] * 20, [0.1], 0)}) == []


def test_the_built_in_budgets_are_read_and_a_typo_is_refused(tmp_path: Path) -> None:
    assert {"query", "search", "embeddings", "rerank", "chat", "ingest"} == set(Budgets.read().root)
    typo = tmp_path / "budgets.yaml"
    typo.write_text("query: {p59_s: 1}")

    with pytest.raises(ValidationError, match="p59_s"):
        Budgets.read(typo)


def test_the_report_shows_endpoints_stages_and_violations(tmp_path: Path) -> None:
    recorder = Recorder()
    for second in range(10):
        recorder.add("POST", "query", Sample(second, 0.5, failed=second == 9))
        recorder.add("STAGE", "rerank", Sample(second, 0.25))
        recorder.users.append((second, 3))

    page = write_report(recorder, ["query: p95 <2 s"], tmp_path / "report", "step").read_text()

    assert "query: p95 &lt;2 s" in page
    assert page.count("<img") == 2
    endpoints = (tmp_path / "report" / "endpoints.csv").read_text().splitlines()
    assert endpoints[1].startswith("query,10,1,")
    assert "rerank,10,0," in (tmp_path / "report" / "stages.csv").read_text()
    assert len((tmp_path / "report" / "samples.csv").read_text().splitlines()) == 21
