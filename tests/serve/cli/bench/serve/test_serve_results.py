"""`ragserve bench serve`: goals, tables, the file and the picture."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.bench.serve.limit import LibraryCosts
from serve.cli.bench.serve.plot import draw
from serve.cli.bench.serve.rows import CACHED_TRACE, COLD, HALF, TRACE, WARM, LoadRow, Results, ServePlan, write_json
from serve.cli.bench.serve.tables import tables
from serve.cli.driver.stage_times import Percentiles

TIMES = Percentiles(0.1, 0.2, 0.4)
STAGES = {"embed": Percentiles(0.01, 0.02, 0.03), "retrieval": TIMES}
ROW = LoadRow(COLD, 16, 17.0, 340, TIMES, STAGES, {"Ingress": 20.0, "Embedder": 10.0}, 1, 2, note="a | b")
LIMIT = LibraryCosts(5.0, 6.0, 1.0, 2.0, 1.0)
HALF_ROW = replace(ROW, questions=HALF, clients=0, offered=8.5, stages={"retrieval": Percentiles(0.1, 0.31, 0.4)})
RESULTS = Results((ROW, replace(ROW, questions=WARM, per_s=20.0), HALF_ROW), LIMIT)


def test_the_goals_compare_what_was_measured_with_the_targets() -> None:
    ratio, p95, cpu = RESULTS.goals()

    assert (ratio.value, ratio.is_met) == (0.85, True)
    assert (p95.value, p95.is_met) == (0.31, False)
    assert (cpu.value, cpu.is_met) == (2.0, True)


def test_the_trace_with_caches_is_compared_with_the_one_without() -> None:
    (goal,) = Results((replace(ROW, questions=TRACE), replace(ROW, questions=CACHED_TRACE, per_s=25.5))).goals()

    assert (goal.value, goal.is_met) == (1.5, True)


def test_what_was_not_measured_has_no_goal() -> None:
    assert Results((ROW,)).goals() == []
    assert Results(()).goals() == []


def test_the_tables_show_every_load_and_mark_what_is_short() -> None:
    shown = tables(RESULTS)

    load = f"| {COLD} | 16 | 17.0 |  | 100 / 200 / 400 | 100 / 200 / 400 | 30 | 1 | 2 | a / b |"
    assert load in shown
    assert f"| {WARM} | 16 | 20.0 | 0.85 |" in shown
    assert f"| {HALF} | 8.5/s |" in shown
    assert f"| {COLD} | 16 | 10 / 20 / 30 |" in shown
    assert f"| {COLD} | 16 | 10.0 | 20.0 | 30.0 | 2.00 |" in shown
    assert "|  | 5.00 | 6.00 | 1.00 | 2.00 | 1.00 | 15.00 |" in shown
    assert "| 0.31 (short) | at most 0.3 |" in shown


def test_they_are_written_and_drawn(tmp_path: Path) -> None:
    write_json(tmp_path / "out" / "serve.json", RESULTS, [ROW], {"chunks": "40"})
    draw(RESULTS, tmp_path / "out" / "serve.png")

    written = json.loads((tmp_path / "out" / "serve.json").read_text())
    assert written["rows"][0]["stages"]["embed"]["p95_s"] == 0.02
    assert [goal["is_met"] for goal in written["goals"]] == [True, False, True]
    assert written["facts"] == {"chunks": "40"}
    assert (tmp_path / "out" / "serve.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_of_the_results_is_drawn_too(tmp_path: Path) -> None:
    draw(Results((replace(ROW, stages={}),)), tmp_path / "serve.png")

    assert (tmp_path / "serve.png").exists()


def test_a_number_of_clients_out_of_bounds_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="each is from 1 to 256"):
        ServePlan(Path("serve_config.yaml"), (0,))
