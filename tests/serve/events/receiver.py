"""A webhook's receiver on a real port, which fails, hangs, redirects or dies as a test says."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Behaviour = Literal["hang", "die", "flood"] | int


@dataclass
class Received:
    """One request: its headers, in lower case, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class Receiver:
    """Behaves once as each of `behaviours` says, by status or otherwise, and then answers 204."""

    behaviours: deque[Behaviour] = field(default_factory=deque)
    requests: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while request := await _read(reader):
                self.requests.append(request)
                await self._answer(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        behaviour = self.behaviours.popleft() if self.behaviours else 204
        if behaviour == "die":
            raise ConnectionResetError
        if behaviour == "hang":
            await asyncio.Event().wait()
        if behaviour == "flood":
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:  # until the caller has had enough
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
        location = f"location: {self.url}/elsewhere\r\n"
        writer.write(f"HTTP/1.1 {behaviour} X\r\n{location}content-length: 0\r\n\r\n".encode())
        await writer.drain()
        if behaviour == 204:
            self.accepted.append(request)


async def _read(reader: asyncio.StreamReader) -> Received | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Received(first.split()[1], headers, await reader.readexactly(int(headers["content-length"])))


@asynccontextmanager
async def receiving(*behaviours: Behaviour) -> AsyncIterator[Receiver]:
    receiver = Receiver(deque(behaviours))
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await receiver.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1")
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
