from io import StringIO

from rich.console import Console

from serve.cli.ingest.bulk.state import Failures, Pace, Speed, Tally
from serve.cli.ingest.bulk.view import BarView, LineView, describe, duration, view_on


def test_rates_are_those_of_the_last_half_minute() -> None:
    speed = Speed()
    for second in range(0, 61, 10):
        speed.add(second, Tally(searchable=second * (1 if second <= 30 else 3), chunks=second))

    assert speed.pace(total=270) == Pace((180 - 30) / 30, 1.0, (270 - 180) / 5)
    assert len(speed.samples) == 4


def test_an_unknown_total_or_a_standstill_has_no_time_left() -> None:
    speed = Speed()
    speed.add(0.0, Tally())
    assert speed.pace(10) == Pace(0.0, 0.0, None)

    speed.add(5.0, Tally())
    assert speed.pace(10).left_s is None
    speed.add(10.0, Tally(unchanged=20))
    assert speed.pace(None).left_s is None
    assert speed.pace(10).left_s == 0.0


def test_the_state_is_one_line() -> None:
    tally = Tally(searchable=1_000, unchanged=200, failed=3, under_way=1)

    assert describe(tally, 2_000, Pace(8.25, 20.0, 200.0)) == (
        "1,204 of 2,000 files, 3 failed, 8.2 files/s, 20.0 chunks/s, 3 min 20 s left"
    )
    assert describe(Tally(), None, Pace(0.0, 0.0, None)) == "0 files, 0.0 files/s, 0.0 chunks/s"


def test_durations_are_readable() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 60, 3_599, 7_500)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "2 h 5 min",
    ]


def test_without_a_terminal_there_is_a_line_every_ten_seconds() -> None:
    output = StringIO()
    view = view_on(Console(file=output, width=200))
    assert isinstance(view, LineView)

    with view:
        for second in range(0, 31, 2):
            view.show(second, Tally(searchable=second), 30, Pace(1.0, 2.0, 30.0 - second))

    assert output.getvalue().splitlines() == [
        "10 s: 10 of 30 files, 1.0 files/s, 2.0 chunks/s, 20 s left",
        "20 s: 20 of 30 files, 1.0 files/s, 2.0 chunks/s, 10 s left",
        "30 s: 30 of 30 files, 1.0 files/s, 2.0 chunks/s, 0 s left",
    ]


def test_a_terminal_shows_a_bar() -> None:
    output = StringIO()
    view = view_on(Console(file=output, width=120, force_terminal=True))
    assert isinstance(view, BarView)

    with view:
        view.show(1.0, Tally(searchable=5), 10, Pace(5.0, 7.0, 1.0))

    assert "5 of 10 files, 5.0 files/s, 7.0 chunks/s, 1 s left" in output.getvalue()


def test_failures_are_listed_up_to_a_limit_and_all_counted() -> None:
    failures = Failures(max_listed=2)
    for name in "abc":
        failures.add(name, "broken")

    assert (failures.listed, failures.total) == ([("a", "broken"), ("b", "broken")], 3)
