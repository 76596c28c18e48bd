"""What `ragserve chaos` reads from answers, and what it makes of them."""

import json
import socket
import threading
from pathlib import Path

import pytest

from models.errors import ConfigError
from serve.cli.chaos.asker import read
from serve.cli.chaos.faults import _connections, _send
from serve.cli.chaos.outcomes import Outcome, row_of
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
        Outcome(11, 15, "", ("dense (embed deadline_exceeded)",)),
        Outcome(15, 16, "", ("dense (embed breaker_open)",)),
        Outcome(16, 17),
    ]

    row = row_of("SIGKILL of Embedder", 10, outcomes, is_over=True)

    assert row.to_markdown() == (
        "| SIGKILL of Embedder | 4 | connection: 1 | dense (embed breaker_open): 1, dense (embed deadline_exceeded): 1 "
        "| 4.0 | 6.0 |"
    )
    assert row_of("SIGKILL of Embedder", 10, outcomes, is_over=False).recovered_s is None


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
        with _connections(url, 3) as clients:
            thread.join()
            for each in accepted:
                each.close()
            for _ in range(3):
                _send(clients, b"x")

    assert len(accepted) == 3
