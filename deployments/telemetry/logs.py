"""Our log lines in Serve's log of the replica, each with the ids of its requests: request, trace and tenant.

Serve writes the file, as JSON or text, at the level of `logging_config`. A line has no text, key or query.
"""

import logging
import re
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from ray import serve
from ray.serve.exceptions import RayServeException

from models.errors.access import ForbiddenError, UnauthorizedError
from models.errors.base import RagError
from models.errors.configuration import ModelNotFoundError
from models.errors.requests import ConflictError, InvalidRequestError, NotFoundError, UnreadableDocumentError
from models.errors.stages import InternalError

SERVE_LOGGER = "ray.serve"
OUR_LOGGERS = ("serve", "deployments", "models", "ragserve")
# Of the caller: the operator has nothing to repair.
MISTAKES = (
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    ConflictError,
    UnauthorizedError,
    ForbiddenError,
    UnreadableDocumentError,
)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# A frame of Ray, or of Python's asyncio: a line with the file, and the lines with its source.
FOREIGN_FRAME = re.compile(
    r'^ *File "[^"]*/(?:site-packages/ray|python3[.0-9]*/asyncio)/[^"]*", line .*\n(?: {4,}.*\n)*', re.MULTILINE
)


class Identified(Protocol):
    """A request: a RequestContext, or the Envelope in which it travels."""

    @property
    def request_id(self) -> str: ...

    @property
    def tenant(self) -> str: ...

    @property
    def trace_context(self) -> str:
        """A W3C traceparent, or empty."""


@dataclass(frozen=True)
class LoggedRequest:
    """The ids of an HTTP request. `tenant` is empty until its key has been checked."""

    request_id: str
    tenant: str = ""
    trace_context: str = ""


_requests: ContextVar[Sequence[Identified]] = ContextVar("logged_requests", default=())


def log_as(*requests: Identified) -> None:
    """Give the ids of `requests` to what the current task logs from now on. Nothing else reads them."""
    _requests.set(requests)


def current_ids() -> dict[str, Any]:
    """The ids of the current requests, as fields of a log line."""
    return ids_of(_requests.get())


def ids_of(requests: Sequence[Identified]) -> dict[str, Any]:
    """The fields of a log line. A message of several requests has lists: `request_ids`, `trace_ids`, `tenants`."""
    if len(requests) == 1:
        (request,) = requests
        trace_id = request.trace_context.split("-")[1] if request.trace_context else ""
        single = {"request_id": request.request_id, "trace_id": trace_id, "tenant": request.tenant}
        return {name: value for name, value in single.items() if value}
    fields = {
        "request_id": [request.request_id for request in requests],
        "trace_id": [request.trace_context.split("-")[1] for request in requests if request.trace_context],
        "tenant": [request.tenant for request in requests if request.tenant],
    }
    distinct = {name: list(dict.fromkeys(values)) for name, values in fields.items()}
    return {
        name if len(values) == 1 else f"{name}s": values[0] if len(values) == 1 else values
        for name, values in distinct.items()
        if values
    }


class AddIds(logging.Handler):
    """Completes a line before Serve's handlers write it. Serve replaces those whenever its logging_config changes."""

    def emit(self, record: logging.LogRecord) -> None:
        add_ids(record)


def add_ids(record: logging.LogRecord) -> None:
    """Add the ids of the current requests, and the name of the replica.

    Serve's own filters would add the id of the first request alone, and look up a dozen of Ray's ids for each line.
    """
    for name, value in (replica_fields() | {"skip_context_filter": True} | current_ids()).items():
        record.__dict__.setdefault(name, value)
    record.__dict__.setdefault("logger", record.name)
    if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
        # Not logging.Formatter: it prints, and Serve's own `print` in a replica writes tuples.
        record.exc_text = readable("".join(traceback.format_exception(record.exc_info[1])))


def readable(text: str) -> str:
    """A traceback without colours, and without the frames of Ray and asyncio."""
    return FOREIGN_FRAME.sub("", COLOURS.sub("", text) + "\n").rstrip("\n")


@cache
def replica_fields() -> dict[str, str]:
    """Of this process; empty outside a replica."""
    try:
        context = serve.get_replica_context()
    except RayServeException:
        return {}
    return {"application": context.app_name, "deployment": context.deployment, "replica": context.replica_id.unique_id}


class ExpectedErrors(logging.Filter):
    """Serve logs whatever a replica raises as an error with a traceback. Ours are answers to the caller.

    A mistake of the caller is one line at INFO, another RagError one at WARNING.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RagError) and not isinstance(error, InternalError):
            record.levelno = level_of(error)
            record.levelname = logging.getLevelName(record.levelno)
            record.msg, record.args, record.exc_info = f"request failed: {error.code}", (), None
        add_ids(record)
        return logging.getLogger(SERVE_LOGGER).isEnabledFor(record.levelno)


def level_of(error: RagError) -> int:
    """INFO for a mistake of the caller, WARNING for a failure of the service."""
    return logging.INFO if isinstance(error, MISTAKES) else logging.WARNING


_ADD_IDS, _EXPECTED_ERRORS = AddIds(), ExpectedErrors()


def join_serve_log() -> None:
    """Call this first in a replica. Otherwise Serve treats our warnings as prints at INFO, and drops them."""
    serve_logger = logging.getLogger(SERVE_LOGGER)
    serve_logger.addFilter(_EXPECTED_ERRORS)
    for name in OUR_LOGGERS:
        logger = logging.getLogger(name)
        logger.parent = serve_logger
        logger.propagate = True
        logger.addHandler(_ADD_IDS)  # a logger's own handlers come before those of its parent
