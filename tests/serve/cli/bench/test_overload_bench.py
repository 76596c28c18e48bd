"""`ragserve bench overload`: the open load's driver, what it makes of answers, and what the tables say."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from serve.cli.bench.overload.findings import Findings, OverloadRow, PeakRow, faults_of, table, write_json
from serve.cli.bench.overload.plot import draw
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.open_loop import DEGRADED, UNSENT, WHOLE, Offer, OfferResult, Reply, offer, run, summary

OFFER = Offer("127.0.0.1", 0, "/v1/query", "bodies", rate=200, seconds=0.5, warm_s=0.0, answer_s=5.0)
REFUSED = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\n"
OVERLOADED = {"error": {"code": "overloaded"}}
RESULT = OfferResult(20.0, 10.0, 0.0, 300, {"429 overloaded": 150}, 0, {}, 0, 0, 1.0, 2.0, 3.0, 0.1, 0.0, 0.1)
PEAK = PeakRow(8, LoadResult(10.5, 100, 0, 0.5, 0.6, 0.7))


def response(head: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def answered(degraded: list[str]) -> bytes:
    return response("HTTP/1.1 200 OK\r\n", {"answer": "…", "degraded": degraded})


class Answers:
    """A server: its n-th request, from 0, gets `answer(n)`; never an answer if that is None."""

    def __init__(self, answer: Callable[[int], bytes | None]) -> None:
        self.answer, self.num_asked, self.num_open = answer, 0, 0
        self.all_closed = asyncio.Event()
        self.all_closed.set()


class Connection(asyncio.Protocol):
    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._answers.num_open += 1
        self._answers.all_closed.clear()

    def connection_lost(self, _: Exception | None) -> None:
        self._answers.num_open -= 1
        if not self._answers.num_open:
            self._answers.all_closed.set()

    def data_received(self, received: bytes) -> None:
        for _ in range(received.count(b"\r\n\r\n{}")):
            found = self._answers.answer(self._answers.num_asked)
            self._answers.num_asked += 1
            if found is not None:
                self._transport.write(found)


@asynccontextmanager
async def serving(answer: Callable[[int], bytes | None]) -> AsyncIterator[int]:
    """The port of a server in this process."""
    answers = Answers(answer)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(answers), "127.0.0.1", 0)
    async with server, asyncio.timeout(30):
        yield server.sockets[0].getsockname()[1]
        await answers.all_closed.wait()


async def offered(answer: Callable[[int], bytes | None], **changed: float) -> OfferResult:
    async with serving(answer) as port:
        return await run(replace(OFFER, port=port, **changed), [b"{}"])


async def test_answers_are_told_from_refusals() -> None:
    answers = (answered([]), answered(["rerank"]), response(REFUSED, OVERLOADED))

    found = await offered(lambda number: answers[number % 3])

    assert found.requests > 30
    assert found.refused == {"429 overloaded": found.requests // 3}
    assert abs(found.whole - found.degraded) <= 1 / OFFER.seconds
    assert (found.untyped, found.failed, found.unanswered, found.unsent) == (0, {}, 0, 0)
    assert faults_of(replace(found, lag_s=0.0)) == []


@pytest.mark.parametrize(
    "refusal",
    [
        response("HTTP/1.1 503 Service Unavailable\r\n", OVERLOADED),
        response("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n", "Request dropped due to backpressure"),
    ],
)
async def test_a_refusal_without_a_code_or_retry_after_is_a_fault(refusal: bytes) -> None:
    found = await offered(lambda _: refusal)

    assert found.untyped == found.requests > 0
    assert sum(found.refused.values()) == found.requests
    assert f"{found.requests} refused without type or Retry-After" in faults_of(found)


async def test_what_hangs_breaks_or_fails_is_a_fault() -> None:
    late = response("HTTP/1.1 504 Gateway Timeout\r\n", {"error": {"code": "deadline_exceeded"}})

    hanging = await offered(lambda _: None, answer_s=0.1)
    failing = await offered(lambda _: late)
    async with serving(lambda _: None) as port:
        pass
    absent = await run(replace(OFFER, port=port), [b"{}"])

    assert hanging.unanswered == hanging.requests > 0
    assert failing.failed == {"504 deadline_exceeded": failing.requests}
    assert absent.failed == {"broken: ConnectionRefusedError": absent.requests}
    for found in (hanging, failing, absent):
        assert len(faults_of(replace(found, lag_s=0.0))) == 1


async def test_no_more_connections_are_opened_than_allowed() -> None:
    found = await offered(lambda _: None, answer_s=1.0, connections=3)

    assert (found.unanswered, found.unsent) == (3, found.requests - 3)
    assert any("not sent" in fault for fault in faults_of(found))


def test_throughput_counts_what_ended_between_the_warm_up_and_the_end() -> None:
    wanted = replace(OFFER, seconds=12.0, warm_s=2.0)
    ended = {1.0: WHOLE, 2.0: WHOLE, 5.0: WHOLE, 6.0: DEGRADED, 11.9: WHOLE, 12.0: WHOLE, 30.0: WHOLE}
    replies = [Reply(kind, 100 + end - 1, 100 + end, 200) for end, kind in ended.items()]

    found = summary(wanted, [*replies, Reply(UNSENT, 103.0, 103.0)], 100.0, 0.0, 0.0)

    assert (found.whole, found.degraded) == (0.3, 0.1)
    assert (found.requests, found.unsent) == (8, 1)
    assert (found.p50_s, found.p99_s) == (1.0, 1.0)


async def test_the_driver_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    bodies = tmp_path / "bodies.jsonl"
    bodies.write_text("{}\n{}")
    async with serving(lambda _: answered([])) as port:
        found = await asyncio.to_thread(offer, replace(OFFER, port=port, bodies=str(bodies)))

    assert found.whole > 0
    assert found.failed == {}


def test_the_table_says_where_goodput_is_lost() -> None:
    kept = OverloadRow(2.0, 10.5, RESULT, ())
    lost = replace(kept, result=replace(RESULT, whole=9.4))
    at_half = OverloadRow(0.5, 10.5, replace(RESULT, offered=5.0, whole=5.0, refused={}), ())
    missed = replace(kept, peak=8.0)

    shown = table(Findings((PEAK,), (at_half, kept, lost, missed)))

    assert "| 8 | 10.5 | 0.50 / 0.60 / 0.70 | 0 |" in shown
    assert "| 5.0 | 0.5 x 10.5 | 5.0 | 1.00 | 0.0 |  | 1.00 / 2.00 / 3.00 |  |  |" in shown
    assert "| 20.0 | 2 x 10.5 | 10.0 | 0.95 | 0.0 | 150 x 429 overloaded | 1.00 / 2.00 / 3.00 | 0.10 |  |" in shown
    assert "| 9.4 | 0.90 (short) |" in shown  # 0.895
    assert "| 2 x 8.0 | 10.0 | 1.25 (the peak is higher) |" in shown


def test_a_fault_is_short_however_much_was_answered(tmp_path: Path) -> None:
    row = OverloadRow(0.5, 10.0, replace(RESULT, offered=5.0, whole=5.0), ("1 unanswered",))
    findings = Findings((PEAK,), (row,))

    write_json(tmp_path / "found.json", findings, [row])

    assert row.is_short
    assert "| 1.00 (short) |" in table(findings)
    assert json.loads((tmp_path / "found.json").read_text())["turns"][0]["faults"] == ["1 unanswered"]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    rows = (
        OverloadRow(1.0, 10.0, replace(RESULT, offered=10.0, refused={}), ()),
        OverloadRow(2.0, 10.0, RESULT, ()),
    )

    draw(Findings((PEAK,), rows), rows, tmp_path / "overload.png")

    assert (tmp_path / "overload.png").read_bytes().startswith(b"\x89PNG")
