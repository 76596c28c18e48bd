"""`ragserve bench starve`: the outcomes of a phase, what counts as a fault, and the processes that take the cores."""

import json
import time
from dataclasses import replace
from pathlib import Path

import psutil

from serve.cli.bench.starve.burning import burning
from serve.cli.bench.starve.findings import BUSY, FREE, Findings, PhaseRow, recovery_s, summarise, table, write_json
from serve.cli.driver.open_loop import UNANSWERED, Record
from tests.patience import PATIENCE_S

BUDGET_S = 60.0


def record(sent_s: float, took_s: float, is_degraded: bool | None = False, status: int = 200) -> Record:
    return Record("/v1/query", sent_s, sent_s, sent_s + took_s, status, is_degraded=is_degraded)


GOOD = summarise(FREE, [record(0, 1), record(1, 2)], BUDGET_S)


def test_a_phase_counts_how_its_questions_ended() -> None:
    unanswered = replace(record(6, 70, None, 0), error=UNANSWERED)
    records = [record(0, 1), record(1, 3, True), record(2, 61), record(3, 0.1, None, 429), unanswered]

    row = summarise(BUSY, records, BUDGET_S)

    assert row == PhaseRow(BUSY, 5, 2, 1, 1, 1, 1, 3.0, 61.0, 61.0)


def test_recovery_is_the_first_whole_answer_as_fast_as_before() -> None:
    slow, degraded, fast = record(0, 5), record(1, 1, True), record(2, 4)

    assert GOOD.p95_s == 2.0
    assert recovery_s(GOOD, [slow, degraded, fast]) == 6.0
    assert recovery_s(GOOD, [slow, degraded]) is None


def test_a_lost_question_or_replica_is_a_fault_and_a_degraded_answer_is_none(tmp_path: Path) -> None:
    busy = summarise(BUSY, [record(0, 1, True)], BUDGET_S)
    lost = summarise(BUSY, [record(0, 61), record(0, 1, None, 500)], BUDGET_S)

    assert Findings((GOOD, busy), (), 1.5).faults == []
    assert Findings((GOOD, lost), ("Embedder",), None).faults == [
        "busy: 1 failed, 1 late",
        "restarted: Embedder",
        "no recovery",
    ]
    lines = table(Findings((GOOD, busy), (), 1.5))
    assert lines[2] == "| free | 2 | 2 | 0 | 0 | 0 | 0 | 1.50 / 2.00 / 2.00 |"
    assert lines[-1] == "Replicas restarted: none. First whole answer as fast as before: after 1.5 s."
    write_json(tmp_path / "findings.json", Findings((GOOD,), (), None))
    assert json.loads((tmp_path / "findings.json").read_text())["rows"][0]["whole"] == 2


def test_busy_processes_compute_and_end_with_the_block() -> None:
    end = time.monotonic() + PATIENCE_S
    with burning(1, PATIENCE_S) as (pid,):
        process = psutil.Process(pid)
        while process.cpu_times().user < 0.05 and time.monotonic() < end:
            pass
        assert process.cpu_times().user >= 0.05

    assert not psutil.pid_exists(pid)


def test_busy_processes_end_by_themselves() -> None:
    with burning(1, 0.01) as (pid,):
        psutil.wait_procs([psutil.Process(pid)], timeout=PATIENCE_S)
        ended = not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    assert ended
