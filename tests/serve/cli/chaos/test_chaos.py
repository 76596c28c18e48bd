"""What `ragserve chaos` reads from answers, and what it makes of them."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from models.errors.configuration import ConfigError
from serve.cli.chaos.asker import read
from serve.cli.chaos.client_faults import connections, send
from serve.cli.chaos.outcomes import SLOW_S, Outcome, row_of, slow_after_s
from serve.cli.chaos.run import Load, between, wait_until_full
from serve.cli.data_folder import owned, owner_of


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ('{"answer": "a", "degraded": [], "degraded_reasons": {}}', 200, ("", ())),
        (
            '{"degraded": ["dense"], "degraded_reasons": {"dense": "embed breaker_open"}}',
            200,
            ("", ("dense (embed breaker_open)",)),
        ),
        ('{"error": {"code": "stage_unavailable"}}', 503, ("stage_unavailable", ())),
        (
            'event: text\ndata: {}\n\nevent: done\ndata: {"degraded": ["rerank_partial"]}\n\n',
            200,
            ("", ("rerank_partial",)),
        ),
        ('event: text\ndata: {}\n\ndata: {"error": {"code": "degraded"}}\n', 200, ("degraded", ())),
        ("event: text\ndata: {}\n\n", 200, ("untyped", ())),  # a stream that was cut
        ("Internal Server Error", 500, ("untyped", ())),
        ("", 502, ("untyped", ())),
    ],
)
def test_an_answer_is_whole_degraded_typed_or_untyped(
    text: str, status: int, expected: tuple[str, tuple[str, ...]]
) -> None:
    assert read(text, status) == expected


def test_a_row_counts_what_ended_after_the_fault_and_says_when_all_was_whole() -> None:
    outcomes = [
        Outcome(8, 9, "connection"),  # before the fault
        Outcome(9, 11, "connection"),
        Outcome(9, 11, "connection", is_stream=True),
        Outcome(11, 15, "", ("dense (embed deadline_exceeded)",)),
        Outcome(15, 16, "", ("dense (embed breaker_open)",)),
        Outcome(16, 17),
    ]

    row = row_of("SIGKILL of Embedder", 10, outcomes, 60, is_over=True)

    assert row.to_markdown() == (
        "| SIGKILL of Embedder | 5 | connection: 1, connection of a stream: 1 "
        "| dense (embed breaker_open): 1, dense (embed deadline_exceeded): 1 | 4.0 | 6.0 |"
    )
    assert row_of("SIGKILL of Embedder", 10, outcomes, 60, is_over=False).recovered_s is None


def test_full_service_is_not_back_before_the_last_slow_answer() -> None:
    row = row_of("SIGKILL of Ingress", 10, [Outcome(10, 12), Outcome(11, 14), Outcome(15, 16)], 2, is_over=True)

    assert (row.failed, row.degraded, row.recovered_s) == ({}, {}, 4)


def test_what_is_slow_depends_on_the_service() -> None:
    assert slow_after_s([Outcome(0, 0.1)]) == SLOW_S
    assert slow_after_s([Outcome(0, 9), Outcome(0, 10), Outcome(0, 30)]) == 30


def test_a_fault_is_not_over_while_a_question_has_no_answer() -> None:
    load, now = Load("http://127.0.0.1:1", "store"), time.monotonic()
    steady = [Outcome(now - 11 + second, now - 10.5 + second).to_line() for second in range(10)]

    load.read(1, steady)
    load.read(2, steady[:2])  # its next question hangs
    is_over_while_one_hangs = wait_until_full(load, now - 11, 60, 11.1)
    load.read(2, [Outcome(now - 8.5, now - 0.5).to_line()])
    is_over = wait_until_full(load, now - 11, 60, 3600)
    is_over_if_that_is_slow = wait_until_full(load, now - 11, 2, 11.1)
    load.read(2, [Outcome(now - 0.4, now - 0.3, "connection").to_line()])

    assert (is_over_while_one_hangs, is_over, is_over_if_that_is_slow) == (False, True, False)
    assert not wait_until_full(load, now - 11, 60, 11.1)


def test_the_questions_of_no_row_are_counted_too() -> None:
    outcomes = [Outcome(1, 2, "connection"), Outcome(2, 3), Outcome(4, 5, "untyped"), Outcome(5, 6)]
    rows = [row_of("SIGKILL of Parser", 4, outcomes, 60, is_over=True)]

    assert between(outcomes, rows) == "2 questions were asked before and between the faults, and 1 of them failed."


def test_an_outcome_crosses_a_pipe_unchanged() -> None:
    outcome = Outcome(1.5, 2.5, "", ("dense (embed breaker_open)",), True)

    assert Outcome.of_line(outcome.to_line()) == outcome
    assert "\n" not in outcome.to_line()
    assert json.loads(outcome.to_line())["is_stream"]


def test_the_service_is_found_by_its_data_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no `ragserve up` uses this folder"):
        owner_of(tmp_path)

    with owned(tmp_path):
        assert owner_of(tmp_path) > 1


def test_slow_clients_connect_and_survive_a_server_that_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        accepted: list[socket.socket] = []
        thread = threading.Thread(target=lambda: accepted.extend(server.accept()[0] for _ in range(3)))
        thread.start()
        with connections(url, 3) as clients:
            thread.join()
            for each in accepted:
                each.close()
            for _ in range(3):
                send(clients, b"x")

    assert len(accepted) == 3
