"""`ragserve bench step`: service times, arrivals, and what the rows say of a run. Numbers can be redone by hand."""

import asyncio
import math
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from serve.cli.bench.step.load import ASK, PARSE, Phase, Sent, StepLoad, arrivals, run
from serve.cli.bench.step.plot import draw, p95_per_second, per_second
from serve.cli.bench.step.run import STAGES, StepPlan, StepResult
from serve.cli.bench.step.summary import (
    Sample,
    StageRange,
    direction_changes,
    first_file_s,
    head,
    scaled_after_s,
    spans_of,
    summarise,
)
from serve.cli.driver.constant_server import Echo
from serve.cli.driver.simulated_stages import BatchTime, DecodeTime

TEN_S = Phase("1x", 10.0, 1.0)


def questions(*timed: tuple[float, float]) -> list[Sent]:
    """Sent at, answered after."""
    return [Sent(at, ASK, latency) for at, latency in timed]


def test_a_batch_costs_its_pass_and_its_items() -> None:
    assert BatchTime(fixed_s=0.015, item_s=0.035).seconds(8) == pytest.approx(0.295)


def test_an_engine_is_slower_the_more_it_runs_but_runs_no_more_than_its_slots() -> None:
    engine = DecodeTime(num_tokens=32, step_s=0.020, request_s=0.001, slots=16)

    assert engine.seconds(8, 1) == pytest.approx(8 * 0.021)
    assert engine.seconds(8, 16) == engine.seconds(8, 40) == pytest.approx(8 * 0.036)


def test_the_load_needs_one_replica_and_five_times_as_much_needs_several() -> None:
    """At 70 % of each: 5 or 25 questions a second, of 70 ms in the reranker, of 1.34 s in one of the engine's slots."""
    arguments = {stage.name: stage.arguments for stage in STAGES}
    rerank, engine = arguments["rerank"][1], arguments["generate"][0]

    assert rerank.seconds(1) == pytest.approx(0.07)
    assert engine.seconds(48, 16) == pytest.approx(1.344)
    assert [math.ceil(rate * 0.07 / 0.7 - 1e-9) for rate in (5, 25)] == [1, 3]
    assert [math.ceil(rate * 1.344 / 16 / 0.7 - 1e-9) for rate in (5, 25)] == [1, 3]


def test_arrivals_repeat_with_their_seed_and_keep_to_their_phase() -> None:
    phases = (Phase("a", 50, 4.0), Phase("b", 50, 40.0, files_per_s=2.0))

    found = arrivals(phases, seed=7)

    assert found == arrivals(phases, seed=7) != arrivals(phases, seed=8)
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    assert {path for at, path in found if at < 50} == {ASK}
    # Within three standard deviations of a Poisson count, the square root of its mean.
    for path, start, mean in ((ASK, 0, 200), (ASK, 50, 2_000), (PARSE, 50, 100)):
        num = sum(one == path and start <= at < start + 50 for at, one in found)
        assert abs(num - mean) < 3 * math.sqrt(mean)


async def test_requests_are_sent_at_their_times_and_failures_are_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    server = await asyncio.get_running_loop().create_server(lambda: Echo(answer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    phase = Phase("1x", 0.2, 100.0, files_per_s=20.0)

    async with server:
        found = await run(StepLoad("127.0.0.1", port, time.time(), (phase,)))
    refused = await run(StepLoad("127.0.0.1", port, time.time(), (phase,)))

    planned = arrivals((phase,), 0)
    assert sorted(one.path for one in found) == sorted(path for _, path in planned)
    assert not any(one.error for one in found)
    assert len(refused) == len(planned)
    assert all("Error" in one.error for one in refused)


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
    assert list(spans_of([TEN_S, Phase("5x", 20.0, 5.0)])) == [(0, 10), (10, 30)]


def test_scaled_is_when_the_next_five_seconds_are_in_budget() -> None:
    slow_at_first = questions(*((second + 0.25, 3.0 if second < 4 else 0.5) for second in range(10)))
    never = questions(*((second + 0.25, 3.0) for second in range(10)))

    # A window of five seconds has five questions; it is in budget without those of the first four seconds.
    assert scaled_after_s(slow_at_first, (0, 10), budget_s=1.0) == 4
    assert scaled_after_s(never, (0, 10), budget_s=1.0) is None
    assert scaled_after_s([], (0, 10), budget_s=1.0) is None


def test_a_row_says_what_was_offered_done_and_kept() -> None:
    sent = [
        *questions(*((second + 0.25, 3.0 if second < 4 else 0.5) for second in range(10))),
        Sent(1.0, PARSE, 6.0),
        Sent(2.0, PARSE, 0.0, "HTTP 500"),
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
    sent = [*questions((0.5, 0.1)), Sent(1.5, ASK, 0.1, "HTTP 503")]

    (row,) = summarise([TEN_S], sent, [], budget_s=1.0)

    assert (row.failed, row.p95_s, row.scaled_after_s, row.keeps_budget) == (1, math.inf, None, False)


def test_the_first_file_tells_how_long_a_start_from_zero_takes() -> None:
    assert first_file_s([Sent(1.0, ASK, 0.5), Sent(2.0, PARSE, 7.5), Sent(3.0, PARSE, 6.5)]) == 7.5
    assert first_file_s([]) == 0


def test_seconds_without_questions_have_no_latency() -> None:
    assert per_second([-0.5, 0.1, 0.9, 2.0, 3.0], 3) == [2, 0, 1]
    assert [str(one) for one in p95_per_second(questions((0.1, 0.5), (0.2, 0.7), (2.0, 1.0)), 3)] == [
        "0.7",
        "nan",
        "1.0",
    ]


def test_a_plan_is_bounded_and_steps_up_and_down() -> None:
    plan = StepPlan(base_per_s=2, factor=4, phase_s=30)

    assert [(one.name, one.questions_per_s, one.files_per_s) for one in plan.phases] == [
        ("1x", 2, 0),
        ("4x", 8, 0.5),
        ("1x again", 2, 0),
    ]
    with pytest.raises(ValidationError, match="factor"):
        StepPlan(factor=1)


def test_a_run_is_drawn_and_kept(tmp_path: Path) -> None:
    plan = StepPlan(phase_s=20)
    samples = tuple(Sample(at, {stage.name: 1 for stage in STAGES}) for at in range(60))
    result = StepResult(plan, tuple(questions((1.0, 0.5), (25.0, 3.0), (50.0, 0.5))), samples)

    draw(result, tmp_path / "step.png")
    result.write(tmp_path / "step.json")

    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")
    assert '"sent": [{"at_s": 1.0, "path": "/ask"' in (tmp_path / "step.json").read_text()
