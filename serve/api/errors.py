"""The one place that turns errors into HTTP: a status code each, and OpenAI's envelope around all of them."""

import logging
import math
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from models.errors import (
    ConfigError,
    ConflictError,
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    PayloadTooLargeError,
    RagError,
    StageUnavailableError,
    UnauthorizedError,
    UnreadableDocumentError,
)
from serve.api.disconnect import ClientDisconnectedError

logger = logging.getLogger(__name__)

# The first class that an error is an instance of decides; subclasses stand before their bases.
STATUS: dict[type[RagError], int] = {
    PayloadTooLargeError: 413,
    InvalidRequestError: 422,
    UnauthorizedError: 401,
    NotFoundError: 404,
    ModelNotFoundError: 404,
    ConflictError: 409,
    UnreadableDocumentError: 422,
    OverloadedError: 429,
    StageUnavailableError: 503,
    DeadlineExceededError: 504,
    ConfigError: 500,
    InternalError: 500,
}
HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}


def status_of(error: RagError) -> int:
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def envelope(message: str, status: int, code: str, param: str | None = None) -> dict[str, object]:
    """OpenAI's error object; `code` is stable, `message` is for people."""
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(error: RagError) -> dict[str, object]:
    return envelope(str(error), status_of(error), error.code, getattr(error, "param", None))


def refusal(error: RagError) -> JSONResponse:
    """The whole response, with what its headers say of when to ask again."""
    return JSONResponse(error_body(error), status_of(error), headers=_headers(error))


def install(app: FastAPI) -> None:
    """Every failure of a route, foreseen or not, leaves through one of these."""
    app.add_exception_handler(RagError, _rag_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnectedError, _nobody_reads)
    app.add_exception_handler(Exception, _unexpected_error)


async def _rag_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RagError)
    return refusal(error)


def _headers(error: RagError) -> dict[str, str]:
    if isinstance(error, UnauthorizedError):
        return {"www-authenticate": "Bearer"}
    if isinstance(error, ConflictError):
        return {"x-should-retry": "false"}  # OpenAI's clients take a 409 for a lock, and would ask again
    return {} if error.retry_after_s is None else {"retry-after": str(math.ceil(error.retry_after_s))}


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = _param(first["loc"], error.body, is_missing=first["type"] == "missing")
    message = f"{param}: {first['msg']}" if param else first["msg"]
    return JSONResponse(envelope(message, 422, "invalid_request", param), 422)


def _param(location: Sequence[str | int], body: Any, is_missing: bool) -> str | None:
    """What the caller wrote wrong, by the names that it has in what they wrote: `filters.0.value`.

    `location` also names the branches of unions, which nobody wrote.
    """
    source, *rest = location
    if source != "body":
        return ".".join(map(str, rest))
    if isinstance(body, str | bytes):
        return None  # not JSON, or no object
    names = []
    for position, part in enumerate(rest):
        try:
            body = body[part]
        except (KeyError, IndexError, TypeError):
            if not is_missing or position < len(rest) - 1:
                continue
        names.append(str(part))
    return ".".join(names) or None


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "invalid_request")
    return JSONResponse(envelope(str(error.detail), error.status_code, code), error.status_code, headers=error.headers)


async def _nobody_reads(_: Request, __: Exception) -> Response:
    """The status that proxies log for it; nobody sees it."""
    return Response(status_code=499)


async def _unexpected_error(_: Request, error: Exception) -> JSONResponse:
    logger.error("unexpected error", exc_info=error)
    internal = InternalError("api")
    return JSONResponse(error_body(internal), status_of(internal))
