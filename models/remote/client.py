"""HTTP clients of a remote model, and its failures as ours. OpenAI's client retries with jitter, and knows Retry-After.

It never retries a stream that has begun.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai

from models.errors import InvalidRequestError, OverloadedError, RagError, StageUnavailableError
from models.remote.config import RemoteConfig

logger = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 500  # of the server's message in ours
BEARER = "authorization"


def async_client(config: RemoteConfig) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(**_options(config))


def blocking_client(config: RemoteConfig) -> openai.OpenAI:
    return openai.OpenAI(**_options(config))


def request_headers(config: RemoteConfig) -> dict[str, Any]:
    """Headers of each request: they leave out the bearer token where the key is in another header, or there is none."""
    has_token = config.api_key is not None and config.key_header.lower() == BEARER
    return {} if has_token else {"Authorization": openai.Omit()}


def _options(config: RemoteConfig) -> dict[str, Any]:
    key = config.api_key.get_secret_value() if config.api_key else ""
    headers = dict(config.headers)
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
    """Raise a remote failure as InvalidRequestError, OverloadedError or StageUnavailableError."""
    try:
        yield
    except (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, json.JSONDecodeError) as error:
        raise to_error(name, stage, error) from error


def to_error(name: str, stage: str, error: Exception) -> RagError:
    """Our error. The log gets the status alone: a server's message may have the prompt in it."""
    status = getattr(error, "status_code", None)
    logger.warning("remote model %s failed: %s %s", name, type(error).__name__, status or "")
    if isinstance(error, openai.RateLimitError):
        return OverloadedError(stage, _retry_after_s(error))
    if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return InvalidRequestError(f"{name}: {error.message[:MAX_MESSAGE_CHARS]}", error.param)
    return StageUnavailableError(stage)


def _retry_after_s(error: openai.RateLimitError) -> float:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return 1.0
