"""Shapes, budgets and the report of a load test."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from loadtests.budgets import Absent, Budget, Budgets, Samples, StageBudget, absent, quantile, violations
from loadtests.plots import draw_endpoints, draw_stages
from loadtests.recorder import Recorder, Sample
from loadtests.report import write_report
from loadtests.shapes import SHAPES
from loadtests.stage_times import stage_times
from loadtests.tables import NOT_MEASURED, TOO_FEW, Verdict, rows


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
    query = Budget(p50_s=0.5, p95_s=1, ttft_p95_s=0.2, max_error_ratio=0.1, max_degraded_ratio=0.25)
    budgets = Budgets(endpoints={"query": query}, stages={"rerank": StageBudget(p95_s=0.1)})
    samples = {"query": Samples([0.6] * 9 + [2.0], [0.3], 2, 3), "free": Samples([9.0], [], 1)}

    assert violations(budgets, samples, {"rerank": Samples([0.05, 0.2])}) == [
        "query: 16.7% errors, 10.0% allowed",
        "query: 30.0% degraded, 25.0% allowed",
        "query: p50 0.600 s, 0.5 s allowed",
        "query: p95 2.000 s, 1 s allowed",
        "query: time to first text, p95 0.300 s, 0.2 s allowed",
        "stage rerank: p95 0.200 s, 0.1 s allowed",
    ]
    assert violations(budgets, {"query": Samples([0.1] * 20, [0.1])}, {"rerank": Samples([0.1])}) == []


def test_what_no_request_measured_is_named() -> None:
    budgets = Budgets(
        endpoints={"query": Budget(p95_s=1), "chat": Budget(p95_s=1, ttft_p95_s=1), "rerank": Budget(p95_s=1)},
        stages={"embed": StageBudget(p95_s=1), "lexical": StageBudget(p95_s=1)},
    )
    endpoints = {"query": Samples([], num_errors=3), "chat": Samples([0.5])}
    stages = {"embed": Samples([0.1]), "lexical": Samples([], num_errors=3)}

    names = absent(budgets, endpoints, stages)

    assert names == Absent(("query", "rerank"), ("lexical", "chat, first text"))
    assert Verdict((), names).sentences() == [
        "Every budget that was measured is met.",
        "Not measured: query, rerank, stage lexical, stage chat, first text.",
    ]


def test_the_built_in_budgets_are_read_and_a_typo_is_refused(tmp_path: Path) -> None:
    built_in = Budgets.read()
    assert {"query", "search", "embeddings", "rerank", "chat", "ingest"} == set(built_in.endpoints)
    assert {name: budget.p95_s for name, budget in built_in.stages.items()} == {
        "embed": 0.05,
        "dense": 0.1,
        "lexical": 0.1,
        "rerank": 0.1,
        "retrieval": 0.3,
    }
    typo = tmp_path / "budgets.yaml"
    typo.write_text("endpoints: {query: {p59_s: 1}}")

    with pytest.raises(ValidationError, match="p59_s"):
        Budgets.read(typo)


def test_a_rate_is_over_the_time_of_the_run() -> None:
    samples = [Sample(4.0, 0.08), Sample(9.0, 0.5, failed=True), Sample(5.0, 0.1, degraded=("rerank",))]

    assert rows({"query": samples}, 20.0, ["query", "chat"]) == [
        ("chat", "0", "0", "0", *[NOT_MEASURED] * 4),
        ("query", "3", "1", "1", "0.10", "0.1000", TOO_FEW, TOO_FEW),
    ]


def test_a_quantile_of_fewer_calls_than_it_needs_is_not_shown() -> None:
    samples = [Sample(0.0, number / 100) for number in range(1, 21)]

    (row,) = rows({"query": samples}, 20.0)

    assert row[-3:] == ("0.1100", "0.2000", TOO_FEW)


def recorded() -> Recorder:
    """A run of ten seconds: ten queries, of which one failed and one was answered without two stages."""
    recorder = Recorder(duration_s=10.0)
    for second in range(10):
        lacking = ("dense", "rerank") if second == 3 else ()
        recorder.requests["query"].append(Sample(second, 0.5, second == 9, lacking))
        recorder.stages["rerank"].append(Sample(second, 0.25))
        recorder.users.append((second, 3))
    recorder.requests["ingest"].append(Sample(10.4, 2.0))
    recorder.setup["poll"].append(Sample(1.0, 0.1, failed=True))
    return recorder


def test_the_report_shows_endpoints_stages_and_violations(tmp_path: Path) -> None:
    recorder, verdict = recorded(), Verdict(("query: p95 <2 s",), Absent(("chat",), ("embed",)))

    page = write_report(recorder, verdict, tmp_path / "report", "step").read_text()

    assert "query: p95 &lt;2 s" in page
    assert "Not measured: chat, stage embed." in page
    assert "Answers made without a stage: dense 1, rerank 1." in page
    assert page.count("<img") == 2
    endpoints = (tmp_path / "report" / "endpoints.csv").read_text().splitlines()
    assert endpoints[1:] == [
        "chat,0,0,0,not measured,not measured,not measured,not measured",
        "ingest,1,0,0,0.10,2.0000,too few,too few",
        "query,10,1,1,0.90,0.5000,too few,too few",
    ]
    assert "rerank,10,0," in (tmp_path / "report" / "stages.csv").read_text()
    assert "poll,1,1," in (tmp_path / "report" / "setup.csv").read_text()
    assert len((tmp_path / "report" / "samples.csv").read_text().splitlines()) == 23
    assert recorder.setup_problems() == ["set-up: 1 of 1 calls to poll failed"]


def test_a_single_point_is_drawn() -> None:
    rate, latency, _ = draw_endpoints(recorded()).axes
    ingest = next(line for line in rate.lines if line.get_label() == "ingest")

    assert list(ingest.get_ydata()) == [0] * 9 + [1]  # what ends after the run counts in its last second
    assert all(line.get_marker() == "." for line in [*rate.lines, *latency.lines])
    assert {line.get_label() for line in rate.lines} == {"query", "ingest", "failed", "degraded"}


def test_a_plot_of_nothing_says_so() -> None:
    for figure in (draw_endpoints(Recorder(duration_s=5.0)), draw_stages(Recorder(duration_s=5.0))):
        assert [text.get_text() for text in figure.axes[0].texts] == ["not measured"]


def test_retrieval_is_the_time_before_the_answer_is_generated() -> None:
    assert stage_times({"embed": 0.1, "generate": 0.5, "total": 0.75})["retrieval"] == 0.25
    assert stage_times({"embed": 0.1}) == {"embed": 0.1}
