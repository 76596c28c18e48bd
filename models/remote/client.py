"""HTTP clients of a remote model, and its failures as ours. OpenAI's client retries with jitter, and knows Retry-After.

It never retries a stream that has begun. RequestGuard bounds what a request may cost.
"""

import json
import logging
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai

from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelUnavailableError
from models.errors.requests import InvalidRequestError
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.remote.config import RemoteConfig
from models.remote.guard import RequestGuard
from models.remote.origin import current_origin

logger = logging.getLogger(__name__)

MAX_RETRY_AFTER_S = 3600.0  # a server may name any number, and our callers wait for it
MAX_MESSAGE_CHARS = 500  # of the server's message in ours
BEARER = "authorization"
# JSONDecodeError is a ValueError; a number of 400 digits is an OverflowError.
SHAPE_ERRORS = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def async_client(name: str, stage: str, config: RemoteConfig) -> openai.AsyncOpenAI:
    guard = RequestGuard(name, stage, config)
    hooks = {"request": [guard.check_request_async], "response": [guard.check_response_async]}
    return openai.AsyncOpenAI(**_options(config), http_client=openai.DefaultAsyncHttpx2Client(event_hooks=hooks))


def blocking_client(name: str, stage: str, config: RemoteConfig) -> openai.OpenAI:
    guard = RequestGuard(name, stage, config)
    hooks = {"request": [guard.check_request], "response": [guard.check_response]}
    connections = openai.DefaultHttpx2Client(event_hooks=hooks)
    client = openai.OpenAI(**_options(config), http_client=connections)
    weakref.finalize(client, connections.close)  # a model that is swapped out is just dropped
    return client


def request_headers(config: RemoteConfig) -> dict[str, Any]:
    """Headers of each request: its place in the trace, and no bearer token where there is none, or another header."""
    has_token = config.api_key is not None and config.key_header.lower() == BEARER
    headers: dict[str, Any] = {} if has_token else {"Authorization": openai.Omit()}
    if traceparent := current_origin().traceparent:
        headers["traceparent"] = traceparent
    return headers


def _options(config: RemoteConfig) -> dict[str, Any]:
    key = config.api_key.get_secret_value() if config.api_key else ""
    headers = {"Accept-Encoding": "identity", **config.headers}  # a small body may unpack to any size
    if key and config.key_header.lower() != BEARER:
        headers[config.key_header] = key
    return {
        "base_url": config.base_url,
        "api_key": key or "none",  # the client insists on one: see request_headers
        "default_headers": headers,
        "default_query": config.query,
        "timeout": httpx2.Timeout(config.timeout_s, connect=config.connect_s),
        "max_retries": config.max_retries,
    }


@contextmanager
def translated(name: str, stage: str) -> Iterator[None]:
    """Raise a remote failure as InvalidRequestError, OverloadedError, DeadlineExceededError or StageUnavailableError.

    An answer of another shape than the API's is one too.
    """
    try:
        yield
    except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, *SHAPE_ERRORS) as error:
        raise to_error(name, stage, error) from error


def to_error(name: str, stage: str, error: Exception) -> RagError:
    """Our error. The log gets the status alone: a server's message may have the prompt in it."""
    status = getattr(error, "status_code", None)
    logger.warning("remote model %s failed: %s %s", name, type(error).__name__, status or "")
    match error:
        case openai.RateLimitError():
            return OverloadedError(stage, _retry_after_s(error))
        case openai.BadRequestError() | openai.UnprocessableEntityError():
            return InvalidRequestError(f"{name}: {error.message[:MAX_MESSAGE_CHARS]}", error.param)
        case openai.InternalServerError(status_code=500):
            return StageUnavailableError(stage)  # this request may be the cause
        case openai.APITimeoutError() | httpx2.TimeoutException() if not current_origin().deadline.remaining_s():
            return DeadlineExceededError(stage, 0.0)
    return ModelUnavailableError(stage, name, _reason(error))


def _reason(error: Exception) -> str:
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return "its server does not answer in time"
        case openai.APIStatusError():
            return f"its server answers with status {error.status_code}"
        case json.JSONDecodeError():
            return "its server sent no JSON"
        case openai.APIResponseValidationError() | openai.APIError() if not isinstance(
            error, openai.APIConnectionError
        ):
            return "its server reports an error"
        case openai.APIConnectionError() | httpx2.HTTPError():
            return "its server cannot be reached, or closed the connection"
    return "its server sent an answer of another shape"


def _retry_after_s(error: openai.RateLimitError) -> float:
    try:
        wait_s = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return 1.0
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S) if math.isfinite(wait_s) else 1.0
