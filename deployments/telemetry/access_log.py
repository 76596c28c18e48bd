"""The access log: a line for each HTTP request, and for each message to a stage.

These lines are too many for Python's logging: a record, its handlers, the format and a flush for each of them cost a
busy replica 5 % of its CPU. So what Serve would write as JSON is written here, many lines at once and at most FLUSH_S
late, into the file of Serve's own handler. With another encoding or another handler, each line is an ordinary record.
"""

import asyncio
import atexit
import logging
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from logging.handlers import MemoryHandler, RotatingFileHandler
from typing import Any

import orjson
from ray._common.formatters import JSONFormatter

from deployments.telemetry.logs import SERVE_LOGGER, current_ids, replica_fields

FLUSH_S = 0.2
MAX_LINES = 512
logger = logging.getLogger("ragserve.access")


class AccessLog:
    """The lines of this process that are not yet written. Belongs to the thread of the event loop."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, Mapping[str, Any]]] = []
        self._handler: RotatingFileHandler | None = None
        self._looked_at = -FLUSH_S

    @property
    def is_on(self) -> bool:
        return logger.isEnabledFor(logging.INFO)

    def add(self, message: str, fields: Mapping[str, Any]) -> None:
        """Write a line with these fields, the ids of the current requests and the names of the replica."""
        now = time.time()
        if not self._lines and now - self._looked_at >= FLUSH_S:
            self._handler, self._looked_at = _json_handler(), now
        if self._handler is None:
            logger.info(message, extra=fields, stacklevel=2)
            return
        self._lines.append((now, message, {**fields, **current_ids()}))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        elif len(self._lines) >= MAX_LINES or now - self._lines[0][0] > 2 * FLUSH_S:  # the loop is late, or has ended
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        handler = _json_handler() or self._handler
        if not lines or handler is None:
            return
        written = b"".join(_json(*line) for line in lines).decode()
        handler.acquire()
        try:
            _append(handler, written)
        except OSError:  # a full disk: as in logging, no error of a request
            handler.handleError(logging.makeLogRecord({"name": logger.name, "msg": "the access log was not written"}))
        finally:
            handler.release()


def _json_handler() -> RotatingFileHandler | None:
    """Serve's handler of its JSON file; None if it writes otherwise. It changes with Serve's logging_config."""
    for handler in logging.getLogger(SERVE_LOGGER).handlers:
        target = handler.target if isinstance(handler, MemoryHandler) else None
        if isinstance(target, RotatingFileHandler) and isinstance(target.formatter, JSONFormatter):
            return target
    return None


def _append(handler: RotatingFileHandler, lines: str) -> None:
    is_closed = handler.stream is None  # Serve has replaced it since these lines were added
    stream = handler.stream = handler.stream or handler._open()
    if handler.maxBytes and stream.tell() + len(lines) >= handler.maxBytes:
        handler.doRollover()
        stream = handler.stream or stream
    stream.write(lines)
    stream.flush()
    if is_closed:
        handler.close()


def _json(now: float, message: str, fields: Mapping[str, Any]) -> bytes:
    """The fields of Serve's own lines, without the place in the source."""
    line = {
        "asctime": f"{_second(int(now))},{int(now * 1000) % 1000:03d}",
        "levelname": "INFO",
        "message": message,
        "process": os.getpid(),
        **fields,
        **replica_fields(),
        "logger": logger.name,
        "timestamp_ns": int(now * 1e9),
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


@lru_cache(maxsize=2)  # most lines are of the same second as the line before
def _second(unix_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


ACCESS_LOG = AccessLog()
atexit.register(ACCESS_LOG.flush)
