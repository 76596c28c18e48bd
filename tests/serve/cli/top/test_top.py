"""`ragserve top` over the metrics of a real run: the slow stage is named."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from rich.console import Console

from models.errors.stages import DeadlineExceededError
from models.reranking.query import SearchedQuery
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.stage_results import Reranking
from serve.cli.top.run import COLUMNS, NARROW_COLUMNS, table
from serve.cli.top.samples import Interval, Reading
from serve.cli.top.stages import StageRow, _reason, bottleneck, stage_rows, summary
from tests.inline import Failing, ShortestFirst
from tests.serve.test_live_services import QUESTION, serving


class Slow(ShortestFirst):
    """A reranker that takes its time."""

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        await asyncio.sleep(1.0)
        return await super().rerank(query, candidates, context)


async def watched(folder: Path, **replaced: object) -> Interval:
    """Two questions between two readings."""
    async with serving(folder, **replaced) as (_, http):
        before = Reading.of([(await http.get("/metrics")).text])
        for question in ("How hot?", "How warm?"):
            await http.post("/v1/query", json=QUESTION | {"query": question})
        return Interval(before, Reading.of([(await http.get("/metrics")).text]))


async def test_a_stage_that_was_made_slow_is_the_bottleneck(tmp_path: Path) -> None:
    interval = await watched(tmp_path, reranker=Slow())

    rows = stage_rows(interval)
    assert bottleneck(interval, rows).startswith("rerank is the bottleneck: ")
    assert "questions a second, p95" in summary(interval)
    (rerank,) = (row for row in rows if row.stage == "rerank")
    assert 0.5 < rerank.share <= 1


async def test_the_degraded_share_is_of_the_answers(tmp_path: Path) -> None:
    interval = await watched(tmp_path, reranker=Failing(DeadlineExceededError("rerank", 1.0)))

    (rerank,) = (row for row in stage_rows(interval) if row.stage == "rerank")
    assert rerank.degraded == 1.0


async def test_without_questions_it_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, http):
        pages = [(await http.get("/metrics")).text for _ in range(2)]
    interval = Interval(*(Reading.of([page]) for page in pages))

    assert bottleneck(interval, stage_rows(interval)) == "no question ended in this interval"


def test_requests_that_do_not_end_are_counted() -> None:
    page = "ragserve_admission_ongoing_requests 3.0\n"
    interval = Interval(Reading.of([page]), Reading.of([page]))

    assert bottleneck(interval, []) == "no question ended in this interval; requests under way: 3"


def test_every_row_has_every_column() -> None:
    page = 'ragserve_replicas{stage="embed"} 2.0\n'
    interval = Interval(Reading.of([page]), Reading.of([page, page]))
    console = Console(width=200, record=True)

    console.print(table(stage_rows(interval)))

    header, row = console.export_text().splitlines()
    assert header.split()[0] == "stage"
    assert all(column in header for column in COLUMNS)
    assert row.split()[:3] == ["embed", "4", "0"]  # of two nodes


def test_a_row_of_a_narrow_terminal_is_a_line() -> None:
    page = 'ragserve_replicas{stage="score_tokens"} 2.0\n'
    interval = Interval(Reading.of([page]), Reading.of([page]))
    console = Console(width=80, record=True)

    console.print(table(stage_rows(interval), NARROW_COLUMNS))

    *header, row = console.export_text().splitlines()
    assert len(header) <= 2
    assert row.split()[:2] == ["score_tokens", "2"]
    assert "…" not in "".join(header)


def test_a_quantile_is_prometheus_own_and_a_counter_may_begin_again() -> None:
    registry = CollectorRegistry()
    seconds = Histogram("ragserve_probe_seconds", "", buckets=(1, 2, 4), registry=registry)
    calls = Counter("ragserve_probe_calls_total", "", registry=registry)
    calls.inc(7)
    before = Reading.of([generate_latest(registry).decode()])
    for value in (0.5, 1.5, 1.5, 3.0):
        seconds.observe(value)
    calls.reset()
    calls.inc(2)
    interval = Interval(before, Reading.of([generate_latest(registry).decode()]))

    assert interval.quantile(0.5, "probe_seconds") == pytest.approx(1.5)  # rank 2: half of the second bucket
    assert interval.quantile(1.0, "probe_seconds") == pytest.approx(4.0)
    assert interval.mean("probe_seconds") == pytest.approx(6.5 / 4)
    assert interval.increase("probe_calls_total") == 2
    assert interval.quantile(0.5, "absent_seconds") is None


def test_a_replica_that_gets_no_core_is_told_from_one_that_works() -> None:
    row = StageRow("embed", 1, 3, 9.0, 1.5, 0.019, 0.024, 0.03, 0.4, 0.95, 1.0, 0, 0.0, 0.9)

    starved, working = _reason(row), _reason(replace(row, compute_s=0.9, busy=0.95))
    in_batches = _reason(replace(row, p95_s=4.4, busy=0.98))  # a call of several batches, and no idle replica

    assert starved == (
        "; its callers wait 950 ms, and it has 19 ms in its queue and 24 ms of work at p95: its process gets no core"
    )
    assert working == "; 19 ms in its queue and 900 ms of work at p95; 1 replica busy 95 % of the time: add replicas"
    assert in_batches == "; 19 ms in its queue and 24 ms of work at p95; 1 replica busy 98 % of the time: add replicas"
