"""A request's body as it arrives: at most so many bytes, within its time, and whole before it takes a place."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from starlette.datastructures import Headers
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors.limits import OverloadedError
from models.errors.requests import BodyTimeoutError, PayloadTooLargeError
from serve.admission import STAGE
from serve.api.disconnect import ClientDisconnectedError
from serve.api.errors import refusal
from serve.settings import ApiLimits

# An upload has boundaries and part headers beside the file itself.
MULTIPART_OVERHEAD_BYTES = 64 * 1024
UPLOADS = (("POST", compile_path("/v1/files")[0]), ("PUT", compile_path("/v1/files/{file_id}/content")[0]))
# A body gets a second more for each of these: 128 kbit/s, a poor mobile connection.
BYTES_PER_S = 16 * 1024
MAX_ARRIVING_BYTES = 256 * 1024**2
MAX_LENGTH_DIGITS = 15  # Python itself refuses to read a number of thousands of digits


class BodyLimit:
    """Refuses a body whose declared length is above its limit, and stops reading one that is too long or too slow.

    JSON has the limit `max_json_bytes`, a file `max_upload_bytes`.
    """

    def __init__(self, app: ASGIApp, limits: Callable[[], ApiLimits]) -> None:
        """`limits` returns the present ones; a request keeps those that it began with."""
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limits = self.limits()
        max_bytes = limits.max_upload_bytes + MULTIPART_OVERHEAD_BYTES if _is_upload(scope) else limits.max_json_bytes
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or len(declared) > MAX_LENGTH_DIGITS or int(declared) > max_bytes:
            await refusal(_too_long(max_bytes), scope["path"])(scope, receive, send)
            return
        await self.app(scope, ArrivingBody(receive, max_bytes, limits.body_s).receive, send)


def _is_upload(scope: Scope) -> bool:
    return any(scope["method"] == method and pattern.match(scope["path"]) for method, pattern in UPLOADS)


def _too_long(max_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"the body is longer than {max_bytes} bytes, the limit")


class ArrivingBody:
    """Receives a body, and counts its bytes and the seconds spent waiting for them."""

    def __init__(self, receive: Receive, max_bytes: int, body_s: float) -> None:
        """`body_s`: seconds for a small body."""
        self._receive, self._max_bytes, self._body_s = receive, max_bytes, body_s
        self._num_bytes, self._waited_s, self._is_whole = 0, 0.0, False

    async def receive(self) -> Message:
        """The next message. Raises PayloadTooLargeError, BodyTimeoutError."""
        if self._is_whole:  # what comes now is the client's disconnect, which may take as long as the answer
            return await self._receive()
        message = await self._receive_in_time()
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_bytes:
            raise _too_long(self._max_bytes)
        self._is_whole = not message.get("more_body", False)
        return message

    async def _receive_in_time(self) -> Message:
        start, budget_s = perf_counter(), self._body_s + self._num_bytes / BYTES_PER_S
        try:
            async with asyncio.timeout(budget_s - self._waited_s):
                return await self._receive()
        except TimeoutError:
            raise BodyTimeoutError(self._num_bytes, budget_s) from None
        finally:
            self._waited_s += perf_counter() - start


class BodyReader:
    """Reads whole bodies. Those that are still arriving have a limit of memory together."""

    def __init__(self, max_bytes: int = MAX_ARRIVING_BYTES) -> None:
        self._max_bytes = max_bytes
        self.num_arriving_bytes = 0

    async def read(self, receive: Receive) -> Receive:
        """Wait for the whole body; return what receives it again, and then the client's disconnect.

        Raises OverloadedError if too many bytes are arriving, ClientDisconnectedError, and what `receive` raises.
        """
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnectedError
                block = message.get("body", b"")
                body += block
                self.num_arriving_bytes += len(block)
                if not message.get("more_body", False):
                    return _replayed(bytes(body), receive)
                if self.num_arriving_bytes > self._max_bytes:
                    raise OverloadedError(STAGE)
        finally:
            self.num_arriving_bytes -= len(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again
