"""Log lines, in the file that Serve writes: JSON, with the ids of the requests, and no traceback for a mistake."""

import asyncio
import builtins
import json
import logging
import logging.handlers
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.serve._private.logging_utils import configure_component_logger, redirected_print
from ray.serve.schema import LoggingConfig

from deployments.calls.client import StageClient
from deployments.calls.envelope import Envelope
from deployments.calls.inline import InlineHandle
from deployments.replica.received import received
from deployments.telemetry.access_log import ACCESS_LOG
from deployments.telemetry.logs import SERVE_LOGGER, join_serve_log, log_as, readable
from models.errors.configuration import ModelNotFoundError
from models.errors.stages import DeadlineExceededError
from tests.contexts import TRACEPARENT, of_two_tenants

Lines = Callable[[], list[dict[str, Any]]]
TRACE_ID = TRACEPARENT.split("-")[1]
logger = logging.getLogger("serve.probe")
serve_logger = logging.getLogger(SERVE_LOGGER)


def write_to(folder: Path, level: str) -> None:
    """As a replica does when its `logging_config` changes."""
    close_file()
    config = LoggingConfig(encoding="JSON", log_level=level, logs_dir=str(folder), enable_access_log=False)
    configure_component_logger(
        component_name="probe", component_id="1", logging_config=config, max_bytes=2**20, backup_count=1
    )


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    before = serve_logger.handlers[:], serve_logger.level
    join_serve_log()
    write_to(tmp_path, "WARNING")
    log_as()
    yield lambda: [json.loads(line) for path in tmp_path.glob("*.log") for line in path.read_text().splitlines()]
    close_file()
    serve_logger.handlers[:], level = before
    serve_logger.setLevel(level)


def close_file() -> None:
    for handler in serve_logger.handlers:
        if isinstance(handler, logging.handlers.MemoryHandler) and handler.target is not None:
            handler.target.close()
            handler.close()


def test_a_line_has_the_ids_of_its_request(lines: Lines) -> None:
    first, _ = of_two_tenants()

    log_as(first)
    logger.warning("the disk is %s", "full")

    (line,) = lines()
    assert (line["levelname"], line["message"], line["logger"]) == ("WARNING", "the disk is full", "serve.probe")
    assert (line["request_id"], line["tenant"], line["trace_id"]) == ("req_1", "tenant-a", TRACE_ID)


def test_a_line_of_a_shared_message_has_the_ids_of_all_its_requests(lines: Lines) -> None:
    log_as(*of_two_tenants())
    logger.warning("late")

    (line,) = lines()
    assert (line["request_ids"], line["tenants"]) == (["req_1", "req_2"], ["tenant-a", "tenant-b"])
    assert line["trace_id"] == TRACE_ID


def test_a_changed_level_takes_effect_and_keeps_the_ids(lines: Lines, tmp_path: Path) -> None:
    log_as(of_two_tenants()[0])
    logger.info("before")
    write_to(tmp_path, "INFO")
    logger.info("after")

    assert [(line["message"], line["request_id"]) for line in lines()] == [("after", "req_1")]


class Probe:
    stage = "probe"

    @received
    async def score(self, name: str, envelope: Envelope) -> str:
        if name != "served":
            raise ModelNotFoundError("the request", name, ["served"])
        return name


async def test_a_replica_logs_each_call_at_info(lines: Lines, tmp_path: Path) -> None:
    write_to(tmp_path, "INFO")
    client, context = StageClient(InlineHandle(Probe(), {}), "probe"), of_two_tenants()[0]

    await client.call("score", "served", Envelope.of(context), context=context)
    with pytest.raises(ModelNotFoundError):
        await client.call("score", "secret", Envelope.of(context), context=context)
    ACCESS_LOG.flush()

    assert [(line["method"], line["outcome"], line["request_id"]) for line in lines()] == [
        ("score", "ok", "req_1"),
        ("score", "model_not_found", "req_1"),
    ]


def fail_in_serve(error: Exception) -> None:
    """What a replica does with an error that a method raises: ray 2.60, serve/_private/replica.py."""
    try:
        raise error
    except Exception:
        serve_logger.exception("Request failed.")


def test_a_callers_mistake_is_a_line_at_info_without_a_traceback(lines: Lines, tmp_path: Path) -> None:
    fail_in_serve(ModelNotFoundError("the request", "gpt-9", ["served"]))
    write_to(tmp_path, "INFO")
    fail_in_serve(ModelNotFoundError("the request", "gpt-9", ["served"]))

    (line,) = lines()
    assert (line["levelname"], line["message"]) == ("INFO", "request failed: model_not_found")
    assert "exc_text" not in line


def test_an_expected_failure_is_a_warning_and_a_bug_has_its_traceback(lines: Lines) -> None:
    log_as(of_two_tenants()[0])
    fail_in_serve(DeadlineExceededError("embed", 1.0))
    fail_in_serve(ZeroDivisionError("a bug"))

    late, bug = lines()
    assert (late["levelname"], late["message"]) == ("WARNING", "request failed: deadline_exceeded")
    assert "exc_text" not in late
    assert (bug["levelname"], bug["request_id"]) == ("ERROR", "req_1")
    assert "fail_in_serve" in bug["exc_text"]
    assert "ZeroDivisionError: a bug" in bug["exc_text"]


def test_a_traceback_is_text_where_serve_has_replaced_print(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "print", redirected_print)  # as in a replica

    fail_in_serve(ZeroDivisionError("a bug"))

    (bug,) = lines()
    assert bug["exc_text"].startswith("Traceback (most recent call last):\n  File ")


def test_a_traceback_is_readable() -> None:
    async def broken() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError) as raised:
        asyncio.run(broken())
    text = logging.Formatter().formatException((raised.type, raised.value, raised.tb))
    coloured = f"\x1b[36mray::ServeReplica\x1b[39m\n{text}"

    shown = readable(coloured)

    assert "asyncio/" in text
    assert "asyncio/" not in shown
    assert "\x1b" not in shown
    assert 'raise ZeroDivisionError("a bug")' in shown
    assert shown.startswith("ray::ServeReplica\nTraceback (most recent call last):\n")
    assert shown.endswith("ZeroDivisionError: a bug")
