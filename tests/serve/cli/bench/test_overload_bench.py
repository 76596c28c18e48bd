"""`ragserve bench overload`: the outcomes of requests, their summary, and the tables."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from serve.cli.bench.overload.findings import Findings, OverloadRow, PeakRow, faults_of, table, write_json
from serve.cli.bench.overload.outcomes import DEGRADED, WHOLE, OfferResult, is_untyped, kind_of, summarise
from serve.cli.bench.overload.plot import draw
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.open_loop import UNANSWERED, UNSENT, OpenLoopResult, Record

RESULT = OfferResult(20.0, 10.0, 0.0, 300, {"429 overloaded": 150}, 0, {}, 0, 0, 1.0, 2.0, 3.0, 0.1, 0.0, 0.1)
PEAK = PeakRow(8, LoadResult(10.5, 100, 0, 0.5, 0.6, 0.7))


def record(status: int, due_s: float = 0.0, ended_s: float = 1.0, **fields: object) -> Record:
    return replace(Record("/v1/query", due_s, due_s, ended_s, status), **fields)


ANSWERED, WITHOUT_A_STAGE = record(200, is_degraded=False), record(200, is_degraded=True)
OVERLOADED = record(429, error="HTTP 429: …", error_code="overloaded", has_retry_after=True)


@pytest.mark.parametrize(
    ("ended", "kind"),
    [
        (ANSWERED, WHOLE),
        (WITHOUT_A_STAGE, DEGRADED),
        (OVERLOADED, "429 overloaded"),
        (record(200), "200 without a code"),
        (record(504, error_code="deadline_exceeded"), "504 deadline_exceeded"),
        (record(0, error=UNANSWERED), UNANSWERED),
        (record(0, error=UNSENT), UNSENT),
        (record(0, error="ConnectionRefusedError: no"), "broken: ConnectionRefusedError"),
    ],
)
def test_every_end_has_its_kind(ended: Record, kind: str) -> None:
    assert kind_of(ended) == kind


@pytest.mark.parametrize("refusal", [replace(OVERLOADED, has_retry_after=False), replace(OVERLOADED, error_code="")])
def test_a_refusal_without_a_code_or_retry_after_is_a_fault(refusal: Record) -> None:
    result = summarise(OpenLoopResult((refusal, OVERLOADED), 0.1), seconds=2.0, warm_s=0.0)

    assert (is_untyped(refusal), is_untyped(OVERLOADED)) == (True, False)
    assert (result.untyped, sum(result.refused.values())) == (1, 2)
    assert faults_of(result) == ["1 refused without type or Retry-After"]


def test_unanswered_unsent_and_failed_requests_are_faults() -> None:
    ends = [record(0, error=UNANSWERED), record(0, error=UNSENT), record(504, error_code="deadline_exceeded")]

    result = summarise(OpenLoopResult((*ends, ANSWERED, WITHOUT_A_STAGE, OVERLOADED), 0.1), seconds=2.0, warm_s=0.0)

    assert (result.unanswered, result.unsent, result.failed) == (1, 1, {"504 deadline_exceeded": 1})
    assert faults_of(result) == ["1 unanswered", "1 504 deadline_exceeded", "driver: 1 not sent, 0.00 s late"]


def test_a_late_driver_is_a_fault() -> None:
    late = replace(ANSWERED, sent_s=0.3)

    assert faults_of(summarise(OpenLoopResult((late,), 0.1), seconds=2.0, warm_s=0.0)) == [
        "driver: 0 not sent, 0.30 s late"
    ]


def test_throughput_counts_what_ended_between_the_warm_up_and_the_end() -> None:
    kinds = {1.0: False, 2.0: False, 5.0: False, 6.0: True, 11.9: False, 12.0: False, 30.0: False}
    records = [record(200, end - 1, end, is_degraded=is_degraded) for end, is_degraded in kinds.items()]
    records.append(record(0, 3.0, 3.0, error=UNSENT))

    result = summarise(OpenLoopResult(tuple(records), 0.0), seconds=12.0, warm_s=2.0)

    assert (result.whole, result.degraded) == (0.3, 0.1)
    assert (result.requests, result.unsent) == (8, 1)
    assert (result.p50_s, result.p99_s) == (1.0, 1.0)


def test_the_table_marks_lost_goodput() -> None:
    past_peak = OverloadRow(2.0, 10.5, RESULT, ())
    lost = replace(past_peak, result=replace(RESULT, whole=9.4))
    at_half = OverloadRow(0.5, 10.5, replace(RESULT, offered=5.0, whole=5.0, refused={}), ())
    missed = replace(past_peak, peak=8.0)

    shown = table(Findings((PEAK,), (at_half, past_peak, lost, missed)))

    assert "| 8 | 10.5 | 0.50 / 0.60 / 0.70 | 0 |" in shown
    assert "| 5.0 | 0.5 x 10.5 | 5.0 | 1.00 | 0.0 |  | 1.00 / 2.00 / 3.00 |  |  |" in shown
    assert "| 20.0 | 2 x 10.5 | 10.0 | 0.95 | 0.0 | 150 x 429 overloaded | 1.00 / 2.00 / 3.00 | 0.10 |  |" in shown
    assert "| 9.4 | 0.90 (short) |" in shown  # 0.895
    assert "| 2 x 8.0 | 10.0 | 1.25 (the peak is higher) |" in shown


def test_a_fault_is_short_however_much_was_answered(tmp_path: Path) -> None:
    row = OverloadRow(0.5, 10.0, replace(RESULT, offered=5.0, whole=5.0), ("1 unanswered",))
    findings = Findings((PEAK,), (row,))

    write_json(tmp_path / "overload.json", findings, [row])

    assert row.is_short
    assert "| 1.00 (short) |" in table(findings)
    assert json.loads((tmp_path / "overload.json").read_text())["turns"][0]["faults"] == ["1 unanswered"]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    rows = (
        OverloadRow(1.0, 10.0, replace(RESULT, offered=10.0, refused={}), ()),
        OverloadRow(2.0, 10.0, RESULT, ()),
    )

    draw(Findings((PEAK,), rows), rows, tmp_path / "overload.png")

    assert (tmp_path / "overload.png").read_bytes().startswith(b"\x89PNG")
