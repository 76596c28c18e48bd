"""`ragserve up` says where to ask, and where its own metrics and logs are."""

import shlex
from pathlib import Path

import pytest

from serve.cli.up.addresses import first_question, places

LOGS = Path("/tmp/ray/session_1/logs")


def test_the_metrics_and_the_logs_of_this_service_are_named() -> None:
    assert places("61527", LOGS) == "metrics on http://127.0.0.1:61527/metrics, logs in /tmp/ray/session_1/logs/serve"


@pytest.mark.parametrize("port", ["0", ""])
def test_metrics_without_a_port_are_not_named(port: str) -> None:
    assert places(port, LOGS) == "logs in /tmp/ray/session_1/logs/serve"


def test_the_first_question_sends_a_key_where_one_is_needed() -> None:
    without_key, with_key = (shlex.split(first_question("http://host:1", needs_keys)) for needs_keys in (False, True))

    assert [part for part in with_key if part not in without_key] == ["-H", "Authorization: Bearer $RAGSERVE_API_KEY"]
    assert without_key[:3] == with_key[:3] == ["curl", "-s", "http://host:1/v1/query"]
