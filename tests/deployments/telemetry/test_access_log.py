"""The access log in the file that Serve writes: what its lines have, and when they are written."""

import asyncio
import json
import logging
from collections.abc import Iterator
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path

import pytest
from ray._common.formatters import JSONFormatter, TextFormatter

from deployments.telemetry.access_log import MAX_LINES, AccessLog
from deployments.telemetry.logs import SERVE_LOGGER, LoggedRequest, join_serve_log, log_as
from tests.contexts import TRACEPARENT

FIELDS = {"method": "search", "outcome": "ok", "elapsed_s": 0.01}
REQUEST = LoggedRequest("req-1", "acme", TRACEPARENT)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Serve's log as JSON, at INFO."""
    join_serve_log()
    logger = logging.getLogger(SERVE_LOGGER)
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    use_file(tmp_path / "replica.log", JSONFormatter())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield tmp_path / "replica.log"
    log_as()
    close_files()
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def use_file(path: Path, formatter: logging.Formatter, max_bytes: int = 0) -> None:
    file = RotatingFileHandler(path, maxBytes=max_bytes, backupCount=1)
    file.setFormatter(formatter)
    close_files()
    logging.getLogger(SERVE_LOGGER).handlers = [MemoryHandler(1, target=file)]


def close_files() -> None:
    for handler in logging.getLogger(SERVE_LOGGER).handlers:
        if isinstance(handler, MemoryHandler) and handler.target is not None:
            handler.target.close()


def text(path: Path) -> str:
    return path.read_text()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_has_the_fields_of_an_ordinary_one(path: Path) -> None:
    log, logger = AccessLog(), logging.getLogger("ragserve.access")
    log_as(REQUEST)
    log.add("search of 1: ok", FIELDS)
    log.flush()
    logger.info("search of 1: ok", extra=FIELDS)

    written, ordinary = lines(path)
    # Only the place in the source is left out. A library in this process may add fields to ordinary lines.
    assert ordinary.keys() - written.keys() >= {"filename", "lineno", "skip_context_filter"}
    same = written.keys() - {"asctime", "timestamp_ns"}
    assert {name: written[name] for name in same} == {name: ordinary[name] for name in same}
    assert len(str(written["asctime"])) == len(str(ordinary["asctime"]))
    assert len(str(written["timestamp_ns"])) == len(str(ordinary["timestamp_ns"]))


async def test_a_line_of_a_message_has_the_ids_of_its_requests(path: Path) -> None:
    log = AccessLog()
    log_as(REQUEST, LoggedRequest("req-2", "acme"))
    log.add("search of 2: ok", FIELDS)
    log.flush()

    (line,) = lines(path)
    assert (line["request_ids"], line["tenant"]) == (["req-1", "req-2"], "acme")
    assert line["trace_id"] == TRACEPARENT.split("-")[1]


async def test_lines_are_written_together_in_their_order(path: Path) -> None:
    log = AccessLog()
    for number in range(MAX_LINES - 1):
        log.add(str(number), FIELDS)
    assert lines(path) == []

    log.add(str(MAX_LINES - 1), FIELDS)
    assert [line["message"] for line in lines(path)] == [str(number) for number in range(MAX_LINES)]


async def test_lines_of_an_event_loop_that_has_ended_are_written_with_the_next_ones(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AccessLog()

    async def add() -> None:
        log.add("the first", FIELDS)

    await asyncio.to_thread(asyncio.run, add())
    assert lines(path) == []

    monkeypatch.setattr("deployments.telemetry.access_log.FLUSH_S", 0.0)
    log.add("the second", FIELDS)
    assert [line["message"] for line in lines(path)] == ["the first", "the second"]


async def test_a_file_that_is_full_is_rotated(path: Path) -> None:
    use_file(path, JSONFormatter(), max_bytes=1500)
    log = AccessLog()
    for _ in range(4):
        log.add("search of 1: ok", FIELDS | {"outcome": "x" * 300})
        log.flush()

    assert (len(lines(path)), len(lines(path.with_name("replica.log.1")))) == (2, 2)


async def test_text_is_an_ordinary_line_at_once(path: Path) -> None:
    use_file(path, TextFormatter())
    AccessLog().add("search of 1: ok", FIELDS)

    assert "search of 1: ok" in text(path)


async def test_lines_survive_a_change_of_the_encoding(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.telemetry.access_log.FLUSH_S", 0.0)
    log = AccessLog()
    log.add("the first", FIELDS)
    use_file(path, TextFormatter())
    log.flush()
    log.add("the second", FIELDS)

    assert [line in text(path) for line in ("the first", "the second")] == [True, True]


async def test_nothing_is_on_below_info(path: Path) -> None:
    assert AccessLog().is_on
    logging.getLogger(SERVE_LOGGER).setLevel(logging.WARNING)
    assert not AccessLog().is_on
