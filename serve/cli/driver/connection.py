"""HTTP/1.1 over asyncio's streams, for the load drivers.

An HTTP client library costs a millisecond of CPU a request, and the machine's cores belong to the server. This module
imports nothing of the application, so that a load process starts at once.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

MAX_LINE = 4 * 1024**2
# What opening a connection or reading an answer can raise.
CONNECTION_ERRORS = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)

NO_CACHES = b"cache-control: no-store\r\n"


@dataclass(frozen=True)
class Response:
    """An answer whose body is still on its way. Header names are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    chunks: AsyncIterator[bytes]

    async def content(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks])


@dataclass
class Connection:
    """A kept connection to one server."""

    host: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @staticmethod
    async def open(host: str, port: int) -> "Connection":
        reader, writer = await asyncio.open_connection(host, port, limit=MAX_LINE)
        return Connection(host, reader, writer)

    @property
    def is_closed_by_server(self) -> bool:
        return self.reader.at_eof()

    def close(self) -> None:
        self.writer.close()

    async def post(self, path: str, body: bytes, use_caches: bool = False, key: str = "") -> Response:
        """Sends JSON. Read the whole body before the next request. Raises one of CONNECTION_ERRORS.

        Unless `use_caches`, the server computes each answer: loads repeat a small number of questions.
        """
        options = (b"" if use_caches else NO_CACHES) + (f"authorization: Bearer {key}\r\n".encode() if key else b"")
        self.writer.write(
            b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b"
            % (path.encode(), self.host.encode(), options, len(body), body)
        )
        status, headers = await self._read_head()
        return Response(status, headers, self._read_body(headers))

    async def _read_head(self) -> tuple[int, dict[bytes, bytes]]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        pairs = (line.partition(b":") for line in lines if line)
        return int(status_line.split(b" ", 2)[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    async def _read_body(self, headers: dict[bytes, bytes]) -> AsyncIterator[bytes]:
        if b"chunked" not in headers.get(b"transfer-encoding", b""):
            yield await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
            return
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
