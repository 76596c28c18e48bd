"""`ragserve bench serve`: what is sent, against a server whose answers are always the same."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

import pytest

from models.errors import InvalidRequestError
from serve.cli.bench.serve.loads import Session, Unseen
from serve.cli.bench.serve.rows import COLD, HALF, TRACE, WARM, ServePlan
from serve.cli.driver.corpus.real import SetQuestion
from serve.cli.driver.servers import OURS, Server

QUESTIONS = [SetQuestion(f"What is {number}?", f"set/d{number // 3}") for number in range(4_000)]
ANSWER = {"answer": "…", "degraded": ["rerank"], "timings": {"embed": 0.01, "generate": 0.02, "total": 0.05}}
PLAN = ServePlan(Path("serve_config.yaml"), (2,), turn_s=0.3, num_turns=2, open_s=0.5, trace_s=0.3, warm_up_s=0.1)


class Recorder(asyncio.Protocol):
    """Answers every question with ANSWER, after a millisecond, and records it."""

    def __init__(self, received: list[str]) -> None:
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received.append(json.loads(data.partition(b"\r\n\r\n")[2])["query"])
        content = json.dumps(ANSWER).encode()
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)
        asyncio.get_running_loop().call_later(0.001, self._transport.write, answer)


@contextmanager
def recording() -> Iterator[tuple[Server, list[str]]]:
    """A server in a thread, and the questions that it received."""
    loop, received = asyncio.new_event_loop(), list[str]()
    server = loop.run_until_complete(loop.create_server(lambda: Recorder(received), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Server(OURS, server.sockets[0].getsockname()[1], getpid()), received
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def session(server: Server, folder: Path, questions: list[SetQuestion] = QUESTIONS) -> Session:
    return Session(PLAN, server, folder, Unseen(questions), lambda _: None)


def test_each_unseen_question_is_sent_once_then_the_same_again(tmp_path: Path) -> None:
    with recording() as (server, received):
        loads = session(server, tmp_path)
        cold, warm = loads.cold_and_warm(clients=2)

    counts = {text: received.count(text) for text in received}
    assert set(counts.values()) == {2}
    assert list(counts) == [question.text for question in QUESTIONS[: len(counts)]]
    assert [row.questions for row in loads.turns] == [COLD, WARM, COLD, WARM]
    assert cold.num_answers == warm.num_answers


def test_a_row_has_the_stages_the_cpu_and_the_missing_stages(tmp_path: Path) -> None:
    with recording() as (server, _):
        cold, _ = session(server, tmp_path).cold_and_warm(clients=2)

    assert cold.per_s > 0
    assert cold.stages["embed"].p95_s == 0.01
    assert round(cold.stages["retrieval"].p50_s, 6) == 0.03
    assert cold.cpu_sum_ms > 0
    assert (cold.degraded >= cold.num_answers, cold.failed) == (True, 0)


def test_the_open_loop_offers_half_of_the_peak_of_unseen_questions(tmp_path: Path) -> None:
    with recording() as (server, received):
        loads = session(server, tmp_path)
        loads.warm_up()
        num_before = len(received)
        half = loads.half_of_peak(200.0)

    assert half.questions == HALF
    assert 20 <= half.num_answers <= 90  # 50 in the mean, of a Poisson process
    assert len(set(received)) == len(received) == num_before + half.num_answers
    assert "retrieval" in half.stages


def test_the_trace_repeats_some_questions(tmp_path: Path) -> None:
    with recording() as (server, received):
        trace = session(server, tmp_path).trace(QUESTIONS, clients=2)

    assert trace.questions == TRACE
    assert len(set(received)) < len(received)
    assert "repeat exactly" in trace.note


def test_when_all_questions_were_sent_the_message_says_what_to_do(tmp_path: Path) -> None:
    with recording() as (server, _):
        loads = session(server, tmp_path, QUESTIONS[:3])
        loads.warm_up()
        with pytest.raises(InvalidRequestError, match="choose fewer turns"):
            loads.cold_and_warm(clients=2)
