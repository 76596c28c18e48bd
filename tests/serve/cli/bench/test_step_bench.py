"""`ragserve bench step`: its load, and the summary of a run. Numbers can be redone by hand."""

import math
from pathlib import Path

import pytest
from pydantic import ValidationError

from serve.cli.bench.step.graph import STAGES
from serve.cli.bench.step.plan import ASK, PARSE, StepPhase, StepPlan
from serve.cli.bench.step.plot import draw, p95_per_second, per_second
from serve.cli.bench.step.run import StepResult
from serve.cli.bench.step.summary import (
    Sample,
    SentRequest,
    StageRange,
    direction_changes,
    first_file_s,
    head,
    scaled_after_s,
    sent_request,
    spans_of,
    summarise,
)
from serve.cli.driver.open_loop import Arrivals, Phase, Record

TEN_S = StepPhase("1x", 10.0, 1.0)


def questions(*timed: tuple[float, float]) -> list[SentRequest]:
    """Sent at, answered after."""
    return [SentRequest(at, ASK, latency) for at, latency in timed]


def test_the_load_needs_one_replica_and_five_times_as_much_needs_several() -> None:
    """At 70 % of each: 5 or 25 questions a second, of 70 ms in the reranker, of 1.34 s in one of the engine's slots."""
    arguments = {stage.name: stage.arguments for stage in STAGES}
    rerank, engine = arguments["rerank"][1], arguments["generate"][0]

    assert rerank.seconds(1) == pytest.approx(0.07)
    assert engine.seconds(16) == pytest.approx(1.344)
    assert [math.ceil(rate * 0.07 / 0.7 - 1e-9) for rate in (5, 25)] == [1, 3]
    assert [math.ceil(rate * 1.344 / 16 / 0.7 - 1e-9) for rate in (5, 25)] == [1, 3]


def test_a_phase_becomes_arrivals_of_questions_and_files() -> None:
    phase = StepPhase("5x", 20.0, 25.0, files_per_s=0.5)

    assert phase.as_load("bodies") == Phase(20.0, (Arrivals(ASK, "bodies", 25.0), Arrivals(PARSE, "bodies", 0.5)))


def test_latency_counts_from_sending_and_the_lead_comes_before_zero() -> None:
    record = Record(ASK, due_s=16.0, sent_s=16.5, ended_s=17.0, status=200)

    assert sent_request(record, lead_s=15.0) == SentRequest(1.5, ASK, 0.5)


@pytest.mark.parametrize(
    ("counts", "changes"),
    [([], 0), ([2], 0), ([1, 1, 2, 4], 0), ([1, 4, 4, 3, 2], 1), ([1, 2, 1, 2], 2), ([3, 2, 3, 2, 2, 1], 2)],
)
def test_changes_of_direction_are_counted(counts: list[int], changes: int) -> None:
    assert direction_changes(counts) == changes


def test_up_and_down_is_no_oscillation_and_up_again_is_one() -> None:
    assert str(StageRange.of([1, 2, 4, 3])) == "1..4"
    assert str(StageRange.of([1, 2, 1, 2])) == "1..2 (oscillates)"
    assert str(StageRange.of([3, 3])) == "3"


def test_phases_follow_each_other() -> None:
    assert list(spans_of([TEN_S, StepPhase("5x", 20.0, 5.0)])) == [(0, 10), (10, 30)]


def test_scaled_is_when_the_next_five_seconds_are_in_budget() -> None:
    slow_at_first = questions(*((second + 0.25, 3.0 if second < 4 else 0.5) for second in range(10)))
    never = questions(*((second + 0.25, 3.0) for second in range(10)))

    # A window of five seconds has five questions; it is in budget without those of the first four seconds.
    assert scaled_after_s(slow_at_first, (0, 10), budget_s=1.0) == 4
    assert scaled_after_s(never, (0, 10), budget_s=1.0) is None
    assert scaled_after_s([], (0, 10), budget_s=1.0) is None


def test_a_row_has_rates_latencies_and_replicas() -> None:
    sent = [
        *questions(*((second + 0.25, 3.0 if second < 4 else 0.5) for second in range(10))),
        SentRequest(1.0, PARSE, 6.0),
        SentRequest(2.0, PARSE, 0.0, "HTTP 500"),
        *questions((10.5, 0.2)),
    ]
    samples = [Sample(at, {"embed": 1, "rerank": 1 + (at > 3)}) for at in range(12)]

    first, second = summarise([TEN_S, TEN_S], sent, samples, budget_s=1.0)

    assert (first.offered_per_s, first.done_per_s, first.failed) == (1.0, 1.0, 1)
    assert (first.p50_s, first.p95_s, first.p99_s) == (0.5, 3.0, 3.0)
    assert (first.scaled_after_s, first.p95_scaled_s, first.keeps_budget) == (4, 0.5, True)
    assert first.stages == {"embed": StageRange(1, 1, 0), "rerank": StageRange(1, 2, 0)}
    assert first.line() == "| 1x | 1.0 | 1.0 | 0.50 / 3.00 / 3.00 | 1 | 4 | 0.50 | 1 | 1..2 |"
    assert (second.offered_per_s, second.p95_s, second.scaled_after_s) == (0.1, 0.2, 0)
    assert head(["embed", "rerank"]).splitlines()[0].count("|") == first.line().count("|")


def test_a_failed_question_is_over_every_budget() -> None:
    sent = [*questions((0.5, 0.1)), SentRequest(1.5, ASK, 0.1, "HTTP 503")]

    (row,) = summarise([TEN_S], sent, [], budget_s=1.0)

    assert (row.failed, row.p95_s, row.scaled_after_s, row.keeps_budget) == (1, math.inf, None, False)


def test_the_first_file_tells_how_long_a_start_from_zero_takes() -> None:
    assert first_file_s([SentRequest(1.0, ASK, 0.5), SentRequest(2.0, PARSE, 7.5), SentRequest(3.0, PARSE, 6.5)]) == 7.5
    assert first_file_s([]) == 0


def test_seconds_without_questions_have_no_latency() -> None:
    assert per_second([-0.5, 0.1, 0.9, 2.0, 3.0], 3) == [2, 0, 1]
    assert [str(p95) for p95 in p95_per_second(questions((0.1, 0.5), (0.2, 0.7), (2.0, 1.0)), 3)] == [
        "0.7",
        "nan",
        "1.0",
    ]


def test_a_plan_is_bounded_and_steps_up_and_down() -> None:
    plan = StepPlan(base_per_s=2, factor=4, phase_s=30)

    assert [(phase.name, phase.questions_per_s, phase.files_per_s) for phase in plan.phases] == [
        ("1x", 2, 0),
        ("4x", 8, 0.5),
        ("1x again", 2, 0),
    ]
    with pytest.raises(ValidationError, match="factor"):
        StepPlan(factor=1)


def test_a_run_is_drawn_and_written(tmp_path: Path) -> None:
    plan = StepPlan(phase_s=20)
    samples = tuple(Sample(at, {stage.name: 1 for stage in STAGES}) for at in range(60))
    result = StepResult(plan, tuple(questions((1.0, 0.5), (25.0, 3.0), (50.0, 0.5))), samples)

    draw(result, tmp_path / "step.png")
    result.write(tmp_path / "step.json")

    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")
    assert '"sent": [{"at_s": 1.0, "path": "/ask"' in (tmp_path / "step.json").read_text()
