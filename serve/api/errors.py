"""Turn errors into HTTP responses: a status code for each class, in OpenAI's error object. Only here."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from deployments.telemetry.logs import level_of
from models.errors.access import ForbiddenError, UnauthorizedError
from models.errors.base import RagError
from models.errors.configuration import ConfigError, ModelNotFoundError
from models.errors.limits import OverloadedError, RateLimitedError, StorageQuotaError
from models.errors.model_failures import UnusableVectorError
from models.errors.requests import (
    BodyTimeoutError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PayloadTooLargeError,
    UnreadableDocumentError,
)
from models.errors.stages import DeadlineExceededError, InternalError, StageUnavailableError
from models.errors.storage import StorageFullError
from serve.access.limits import rate_headers
from serve.api.disconnect import ClientDisconnectedError

logger = logging.getLogger(__name__)

# The first matching class decides, so a subclass comes before its base.
STATUS: dict[type[RagError], int] = {
    PayloadTooLargeError: 413,
    BodyTimeoutError: 408,
    InvalidRequestError: 422,
    UnauthorizedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ModelNotFoundError: 404,
    ConflictError: 409,
    UnreadableDocumentError: 422,
    UnusableVectorError: 422,
    OverloadedError: 429,
    RateLimitedError: 429,
    StorageFullError: 507,
    StorageQuotaError: 507,  # RFC 4331; RFC 4918: not to be repeated by itself
    StageUnavailableError: 503,
    DeadlineExceededError: 504,
    ConfigError: 500,
    InternalError: 500,
}
# By pydantic's type of error, where its own message does not say what to do.
VALIDATION_MESSAGES = {
    "missing": "this field is required",
    "extra_forbidden": "unknown field; /docs lists the fields of this route",
    "tuple_type": "a list is needed",
}
NOT_AN_OBJECT = frozenset(["missing", "model_type", "dict_type", "model_attributes_type"])
MESSAGES = "/v1/messages"  # Anthropic's clients read its errors
ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str = Field(description="For people; it may change.")
    type: str = Field(description="invalid_request_error, rate_limit_error or server_error.")
    param: str | None = Field(description="The wrong field, such as filters.0.value.")
    code: str = Field(description="Stable; programs can rely on it.")


class ErrorBody(BaseModel):
    """OpenAI's error object."""

    error: ErrorDetail


def status_of(error: RagError) -> int:
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def envelope(message: str, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object. `code` is stable; `message` is for people and may change."""
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(error: RagError) -> dict[str, Any]:
    return envelope(str(error), status_of(error), error.code, _param_of(error))


def _param_of(error: RagError) -> str | None:
    return getattr(error, "param", None)


def refusal(error: RagError, path: str = "") -> JSONResponse:
    """The full response, with the headers that tell a client when to retry. `path` is the request's."""
    return _response(path, error_body(error), status_of(error), _headers(error))


def anthropic_error_body(body: dict[str, Any], status: int) -> dict[str, Any]:
    """Anthropic's error object, with our own code and param."""
    kind = ANTHROPIC_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {**body["error"], "type": kind}}


def _response(path: str, body: dict[str, Any], status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    if path.startswith(MESSAGES):
        body = anthropic_error_body(body, status)
    return JSONResponse(body, status, headers=headers)


def install(app: FastAPI) -> None:
    """Register a handler for every failure of a route, expected or not."""
    app.add_exception_handler(RagError, _rag_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnectedError, _client_disconnected)
    app.add_exception_handler(ClientDisconnect, _client_disconnected)  # of the framework, while it reads a form
    app.add_exception_handler(Exception, _unexpected_error)


async def _rag_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RagError)
    # Neither the message nor a traceback: the message may quote the request.
    logger.log(level_of(error), "refused: %s", error.code, extra={"code": error.code, "param": _param_of(error)})
    return refusal(error, request.url.path)


def _headers(error: RagError) -> dict[str, str]:
    if isinstance(error, UnauthorizedError):
        return {"www-authenticate": "Bearer"}
    if isinstance(error, ConflictError | StorageQuotaError):
        return {"x-should-retry": "false"}  # OpenAI's clients retry a 409 and a 507 by default
    if isinstance(error, BodyTimeoutError):
        return {"connection": "close"}  # the rest of the body may take for ever
    if isinstance(error, RateLimitedError) and error.reset_s:
        return {"retry-after": str(math.ceil(error.retry_after_s or 1)), **rate_headers(error.limit, 0, error.reset_s)}
    return {} if error.retry_after_s is None else {"retry-after": str(math.ceil(error.retry_after_s))}


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem, param = _most_precise(error.errors(), error.body)
    text = _problem_text(problem)
    message = f"{param}: {text}" if param else text
    return _response(request.url.path, envelope(message, 422, "invalid_request", param), 422)


def _most_precise(problems: Sequence[Any], body: Any) -> tuple[dict[str, Any], str | None]:
    """The first problem and its field. Of a union, which reports each branch, the branch that fits best.

    That is the one whose problem lies deepest in the request, or that fails on a value and not on its type.
    """
    params = [_param(problem["loc"], body, is_missing=problem["type"] == "missing") for problem in problems]
    top = params[0] or ""
    ranked = [
        (-(param or "").count("."), problem["type"].endswith("_type"), number)
        for number, (problem, param) in enumerate(zip(problems, params, strict=True))
        if param == params[0] or (top and (param or "").startswith(f"{top}."))
    ]
    best = min(ranked)[2]
    return problems[best], params[best]


def _problem_text(problem: dict[str, Any]) -> str:
    if problem["loc"] == ("body",) and problem["type"] in NOT_AN_OBJECT:
        return "the body is not a JSON object; send one, with Content-Type: application/json"
    if problem["type"] == "json_invalid":
        return f"the body is not valid JSON: {problem['ctx']['error']}"
    if "UploadFile" in problem["msg"]:
        return "this form field is not a file; send a file with a name"
    if problem["type"] == "union_tag_invalid":
        return f"{problem['ctx']['tag']!r} is not one of {problem['ctx']['expected_tags']}"
    if problem["type"] in ("too_short", "too_long"):
        return _length_text(problem["ctx"])
    return VALIDATION_MESSAGES.get(problem["type"], problem["msg"].removeprefix("Value error, "))


def _length_text(limits: dict[str, Any]) -> str:
    """The text for a list with too few or too many items."""
    if "max_length" in limits:
        return f"at most {limits['max_length']} items are allowed"
    minimum = limits["min_length"]
    return f"at least {minimum} {'item is' if minimum == 1 else 'items are'} needed"


def _param(location: Sequence[str | int], body: Any, is_missing: bool) -> str | None:
    """Path of the wrong field in the request, such as `filters.0.value`.

    pydantic's `location` also names the branches of unions. They are not in the request, so they are left out.
    """
    source, *path = location
    if source != "body":
        return ".".join(map(str, path))
    if isinstance(body, str | bytes):
        return None  # not JSON, or not an object
    names = []
    for depth, key in enumerate(path):
        try:
            body = body[key]
        except (KeyError, IndexError, TypeError):
            if not is_missing or depth < len(path) - 1:
                continue
        names.append(str(key))
    return ".".join(names) or None


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if isinstance(error.__cause__, RagError):  # of JsonRequest, while the framework reads the body
        return refusal(error.__cause__, path)
    if error.status_code == 400:  # of the framework: a body that it cannot parse
        return _response(path, envelope(_body_problem(error), 422, "invalid_request"), 422)
    code, headers = HTTP_CODES.get(error.status_code, "invalid_request"), error.headers
    if error.status_code == 405:
        headers = {"allow": ", ".join(_methods(request))}
    return _response(path, envelope(str(error.detail), error.status_code, code), error.status_code, headers)


def _methods(request: Request) -> list[str]:
    """The methods of a path. The framework names those of its first route alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.path_regex.match(request.scope["path"])]
    return sorted({method for route in matching for method in route.methods or ()})


def _body_problem(error: HTTPException) -> str:
    """Why a body is neither JSON nor a form, in words that help."""
    if isinstance(error.__cause__, RecursionError):
        return "the body is nested too deeply to be read as JSON; send fewer levels"
    if isinstance(error.__cause__, UnicodeDecodeError):
        return f"the body is not valid UTF-8 (byte {error.__cause__.start}); send JSON in UTF-8"
    if isinstance(error.__cause__, ValueError) and "integer string conversion" in str(error.__cause__):
        return "the body has a number with too many digits; send fewer"
    return f"the body cannot be read: {error.detail}"


async def _client_disconnected(_: Request, __: Exception) -> Response:
    """The status that proxies log for a closed connection. The client does not receive it."""
    return Response(status_code=499)


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    logger.error("unexpected error", exc_info=error)
    return refusal(InternalError("api"), request.url.path)
