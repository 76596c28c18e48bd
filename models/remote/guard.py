"""What a remote model's server may cost: time within the deadline, bytes within a limit, retries within a budget."""

import math
from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx2

from models.errors.model_failures import ModelUnavailableError
from models.errors.stages import DeadlineExceededError
from models.remote.config import MIB, RemoteConfig
from models.remote.origin import current_origin
from models.retry_budget import RetryBudget

RETRY_COUNT = "x-stainless-retry-count"  # in a request of OpenAI's client
SHOULD_RETRY = "x-should-retry"  # in a response: OpenAI's client obeys it
PLAIN = ("", "identity")


class RequestGuard:
    """The hooks of an HTTP client: see httpx's event hooks. What they raise ends the request, and is not retried.

    No attempt is sent after the deadline, and none waits beyond it. A retry also needs a place in the budget. The
    response is bounded as it arrives, so a server that drips, never ends or sends without end cannot hold a thread.
    """

    def __init__(self, name: str, stage: str, config: RemoteConfig) -> None:
        self._name, self._stage = name, stage
        self._max_bytes = config.max_response_mb * MIB
        self._timeout_s = config.timeout_s
        self._retries = RetryBudget()

    def check_request(self, request: httpx2.Request) -> None:
        """Raises DeadlineExceededError, or ModelUnavailableError for a retry that the budget does not allow."""
        left_s = current_origin().deadline.remaining_s()
        if not left_s:
            raise DeadlineExceededError(self._stage, 0.0)
        if request.headers.get(RETRY_COUNT, "0") == "0":
            self._retries.add_request()
        elif not self._retries.take():
            raise self._failure("its server fails too often for another attempt")
        timeouts = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {name: _at_most(limit, left_s) for name, limit in timeouts.items()}

    def check_response(self, response: httpx2.Response) -> None:
        """Bound the body. Raises ModelUnavailableError for a compressed one, whose size is unknown."""
        if response.headers.get("content-encoding", "") not in PLAIN:
            raise self._failure("its server compresses answers unasked")
        if _retry_after_s(response) > current_origin().deadline.remaining_s():
            response.headers[SHOULD_RETRY] = "false"
        response.stream = _BoundedStream(response.stream, self)

    async def check_request_async(self, request: httpx2.Request) -> None:
        self.check_request(request)

    async def check_response_async(self, response: httpx2.Response) -> None:
        self.check_response(response)

    def check_progress(self, num_bytes: int) -> None:
        """Raises ModelUnavailableError if the response is too large, DeadlineExceededError if it is late."""
        if num_bytes > self._max_bytes:
            raise self._failure(f"its server sent more than {self._max_bytes // MIB} MiB")
        if not current_origin().deadline.remaining_s():
            raise DeadlineExceededError(self._stage, self._timeout_s)

    def _failure(self, reason: str) -> ModelUnavailableError:
        return ModelUnavailableError(self._stage, self._name, reason)


class _BoundedStream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body, whose progress the guard checks with each part."""

    def __init__(self, stream: httpx2.SyncByteStream | httpx2.AsyncByteStream, guard: RequestGuard) -> None:
        self._stream, self._guard = stream, guard

    def __iter__(self) -> Iterator[bytes]:
        num_bytes = 0
        for block in cast(httpx2.SyncByteStream, self._stream):
            num_bytes += len(block)
            self._guard.check_progress(num_bytes)
            yield block

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for block in cast(httpx2.AsyncByteStream, self._stream):
            num_bytes += len(block)
            self._guard.check_progress(num_bytes)
            yield block

    def close(self) -> None:
        cast(httpx2.SyncByteStream, self._stream).close()

    async def aclose(self) -> None:
        await cast(httpx2.AsyncByteStream, self._stream).aclose()


def _at_most(limit_s: float | None, left_s: float) -> float | None:
    if math.isinf(left_s):
        return limit_s
    return left_s if limit_s is None else min(limit_s, left_s)


def _retry_after_s(response: httpx2.Response) -> float:
    """What the server asks for before a retry; 0 if it asks for nothing, or for a date."""
    try:
        return float(response.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
