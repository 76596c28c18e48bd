"""Percentiles of stages, and of retrieval, which is all before the generator."""

from serve.cli.driver.stage_times import Percentiles, stage_percentiles


def test_retrieval_is_the_total_without_the_generator() -> None:
    timings = [{"embed": 0.01, "generate": 0.1, "total": 0.3 + number} for number in range(3)]

    times = stage_percentiles(timings)

    assert times["embed"] == Percentiles(0.01, 0.01, 0.01)
    assert round(times["retrieval"].p50_s, 6) == 1.2
    assert set(times) == {"embed", "generate", "total", "retrieval"}


def test_answers_without_a_stage_do_not_count_for_it() -> None:
    assert stage_percentiles([{"embed": 0.2}, {"dense": 0.4}])["dense"].p99_s == 0.4


def test_they_are_shown_in_milliseconds() -> None:
    assert str(Percentiles(0.0014, 0.25, 1.5)) == "1 / 250 / 1,500"
