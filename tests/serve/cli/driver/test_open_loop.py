"""The open loop's load driver: when requests are sent, and what it records of each."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from serve.cli.driver.open_loop import UNANSWERED, UNSENT, Arrivals, OpenLoad, Phase, Record, arrivals, drive_open, run
from tests.patience import PATIENCE_S

BODIES = "bodies"
PHASE = Phase(0.5, (Arrivals("/v1/query", BODIES, 200),))
LOAD = OpenLoad("127.0.0.1", 0, (PHASE,), timeout_s=PATIENCE_S)
REFUSED = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\n"
OVERLOADED = {"error": {"code": "overloaded"}}


def response(head: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def answered(degraded: list[str]) -> bytes:
    return response("HTTP/1.1 200 OK\r\n", {"answer": "…", "degraded": degraded})


class Answers:
    """A server: its n-th request, from 0, gets `answer(n)`; never an answer if that is None."""

    def __init__(self, answer: Callable[[int], bytes | None]) -> None:
        self.answer, self.num_requests, self.num_open = answer, 0, 0
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
            answer = self._answers.answer(self._answers.num_requests)
            self._answers.num_requests += 1
            if answer is not None:
                self._transport.write(answer)


@asynccontextmanager
async def serving(answer: Callable[[int], bytes | None]) -> AsyncIterator[int]:
    """The port of a server in this process."""
    answers = Answers(answer)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(answers), "127.0.0.1", 0)
    async with server, asyncio.timeout(PATIENCE_S):
        yield server.sockets[0].getsockname()[1]
        await answers.all_closed.wait()


async def sent(answer: Callable[[int], bytes | None], **changed: float) -> list[Record]:
    async with serving(answer) as port:
        result = await run(replace(LOAD, port=port, **changed), {BODIES: [b"{}"]})
    return list(result.records)


async def test_records_have_the_fields_of_each_answer() -> None:
    answers = (answered([]), answered(["rerank"]), response(REFUSED, OVERLOADED))

    records = await sent(lambda number: answers[number % 3])

    assert len(records) > 30
    assert {(record.status, record.is_degraded, record.error_code, record.has_retry_after) for record in records} == {
        (200, False, "", False),
        (200, True, "", False),
        (429, None, "overloaded", True),
    }
    assert all(record.error.startswith("HTTP 429") for record in records if record.status == 429)
    assert all(record.due_s <= record.sent_s <= record.ended_s for record in records)


async def test_hanging_and_refused_connections_are_recorded() -> None:
    hanging = await sent(lambda _: None, timeout_s=0.1)
    async with serving(lambda _: None) as port:
        pass
    absent = (await run(replace(LOAD, port=port), {BODIES: [b"{}"]})).records

    assert {record.error for record in hanging} == {UNANSWERED}
    assert {record.error.partition(":")[0] for record in absent} == {"ConnectionRefusedError"}


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    records = await sent(lambda _: None, timeout_s=1.0, max_in_flight=3)

    assert [record.error for record in records].count(UNANSWERED) == 3
    assert [record.error for record in records].count(UNSENT) == len(records) - 3


async def test_requests_are_sent_to_each_path_at_their_times() -> None:
    phase = Phase(0.2, (Arrivals("/ask", BODIES, 100.0), Arrivals("/parse", BODIES, 20.0)))
    load = replace(LOAD, phases=(phase,), start_at=time.time())

    async with serving(lambda _: answered([])) as port:
        result = await run(replace(load, port=port), {BODIES: [b"{}"]})

    planned = [(due, kind.path) for due, kind in arrivals(load)]
    assert sorted((record.due_s, record.path) for record in result.records) == planned


def test_arrivals_repeat_with_their_seed_and_stay_in_their_phase() -> None:
    first = Phase(50, (Arrivals("/ask", BODIES, 4.0),))
    second = Phase(50, (Arrivals("/ask", BODIES, 40.0), Arrivals("/parse", BODIES, 2.0)))
    load = replace(LOAD, phases=(first, second), seed=7)

    due = [(at_s, kind.path) for at_s, kind in arrivals(load)]

    assert arrivals(load) == arrivals(load) != arrivals(replace(load, seed=8))
    assert due == sorted(due)
    assert {path for at_s, path in due if at_s < 50} == {"/ask"}
    # Within three standard deviations of a Poisson count, the square root of its mean.
    for path, start, mean in (("/ask", 0, 200), ("/ask", 50, 2_000), ("/parse", 50, 100)):
        count = sum(path == other and start <= at_s < start + 50 for at_s, other in due)
        assert abs(count - mean) < 3 * math.sqrt(mean)


async def test_the_driver_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    bodies = tmp_path / "bodies.jsonl"
    bodies.write_text("{}\n{}")
    phase = Phase(0.5, (Arrivals("/v1/query", str(bodies), 200),))
    async with serving(lambda _: answered([])) as port:
        result = await asyncio.to_thread(drive_open, replace(LOAD, port=port, phases=(phase,)))

    assert result.records
    assert {record.status for record in result.records} == {200}
    assert result.driver_cpu > 0


def test_a_failed_driver_reports_its_error() -> None:
    with pytest.raises(RuntimeError, match="No such file"):
        drive_open(replace(LOAD, phases=(Phase(0.1, (Arrivals("/", "/absent", 1.0),)),)))
