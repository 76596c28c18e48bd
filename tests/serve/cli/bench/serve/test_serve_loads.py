"""`ragserve bench serve`: what is sent, against a server whose answers are always the same."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.bench.serve.loads import Session, Unseen
from serve.cli.bench.serve.rows import COLD, HALF, TRACE, WARM, ServePlan
from serve.cli.driver.corpus.real import SetQuestion
from serve.cli.driver.question_trace import question_trace
from serve.cli.driver.servers import OURS, Server

# Few enough that a load ends with its last question, not by its time.
QUESTIONS = [SetQuestion(f"What is {number}?", f"set/d{number // 3}") for number in range(60)]
ANSWER = {"answer": "…", "degraded": ["rerank"], "timings": {"embed": 0.01, "generate": 0.02, "total": 0.05}}
PLAN = ServePlan(Path("serve_config.yaml"), (2,), turn_s=60, num_turns=1, open_s=0.5, trace_s=60, warm_up_s=60)


class Recorder:
    """A server that answers every question with ANSWER, and records it. /metrics counts a hit more at every call."""

    def __init__(self) -> None:
        self.received = list[str]()
        self.open = set[asyncio.Transport]()
        self.all_closed = asyncio.Event()
        self._num_hits = 0

    def answer(self, request: bytes) -> bytes:
        if request.startswith(b"GET /metrics"):
            self._num_hits += 1
            return f'ragserve_cache_hits_total{{level="answers",tier="memory"}} {self._num_hits}'.encode()
        self.received.append(json.loads(request.partition(b"\r\n\r\n")[2])["query"])
        return json.dumps(ANSWER).encode()

    async def close(self, server: asyncio.Server) -> None:
        server.close()
        for transport in self.open:
            transport.abort()
        if self.open:
            await self.all_closed.wait()


class RecordedConnection(asyncio.Protocol):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._recorder.open.add(transport)
        self._recorder.all_closed.clear()

    def connection_lost(self, _: Exception | None) -> None:
        self._recorder.open.remove(self._transport)
        if not self._recorder.open:
            self._recorder.all_closed.set()

    def data_received(self, data: bytes) -> None:
        content = self._recorder.answer(data)
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))


@contextmanager
def recording() -> Iterator[tuple[Server, list[str]]]:
    """A server in a thread, and the questions that it received."""
    loop, recorder = asyncio.new_event_loop(), Recorder()
    server = loop.run_until_complete(loop.create_server(lambda: RecordedConnection(recorder), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Server(OURS, server.sockets[0].getsockname()[1], getpid()), recorder.received
    finally:
        asyncio.run_coroutine_threadsafe(recorder.close(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def session(server: Server, folder: Path, num_questions: int = 60) -> Session:
    return Session(PLAN, server, folder, Unseen(QUESTIONS[:num_questions]), lambda _: None)


def test_each_unseen_question_is_sent_once_then_the_same_again(tmp_path: Path) -> None:
    with recording() as (server, received):
        loads = session(server, tmp_path)
        cold, warm = loads.cold_and_warm(clients=1)

    texts = [question.text for question in QUESTIONS]
    assert received == texts + texts
    assert [row.questions for row in loads.turns] == [COLD, WARM]
    assert cold.num_answers == warm.num_answers == 60


def test_a_row_has_the_stages_the_cpu_and_the_missing_stages(tmp_path: Path) -> None:
    with recording() as (server, _):
        cold, _ = session(server, tmp_path).cold_and_warm(clients=2)

    assert cold.per_s > 0
    assert cold.stages["embed"].p95_s == 0.01
    assert round(cold.stages["retrieval"].p50_s, 6) == 0.03
    assert "the command" in cold.cpu_ms  # 0 ms where 60 answers take less than a tick of the clock
    assert (cold.degraded >= cold.num_answers, cold.failed) == (True, 0)


def test_the_open_loop_offers_half_of_the_peak_of_unseen_questions(tmp_path: Path) -> None:
    with recording() as (server, received):
        loads = session(server, tmp_path)
        half = loads.half_of_peak(100.0)

    assert half.questions == HALF
    assert 10 <= half.num_answers <= 45  # 25 in the mean, of a Poisson process
    assert len(set(received)) == len(received) == half.num_answers
    assert loads.unseen.left[0] == QUESTIONS[half.num_answers]
    assert "retrieval" in half.stages


def test_the_trace_repeats_some_questions(tmp_path: Path) -> None:
    with recording() as (server, received):
        trace = session(server, tmp_path).trace(question_trace(QUESTIONS, 50), TRACE, clients=2)

    assert trace.questions == TRACE
    assert (len(received), len(set(received))) == (50, 44)  # 11.5 % of 50
    assert "12.0% repeat exactly" in trace.note
    assert "hits: answers 100.0% of 1" in trace.note


def test_the_warm_up_takes_questions_from_the_end(tmp_path: Path) -> None:
    with recording() as (server, received):
        loads = session(server, tmp_path, num_questions=3)
        loads.warm_up()

    assert sorted(received) == [question.text for question in QUESTIONS[:3]]
    with pytest.raises(InvalidRequestError, match="choose fewer turns"):
        loads.cold_and_warm(clients=2)
