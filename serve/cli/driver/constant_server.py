"""A server that answers every request with the same bytes: what it gives is the most that the load driver can ask for.

`python -m serve.cli.driver.constant_server PORT NUM_BYTES`, on the loopback address.
"""

import asyncio
import sys

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


class Echo(asyncio.Protocol):
    """One connection. Understands requests that state their body's length, as the load driver's do."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._received = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (rest := _after_request(self._received)) is not None:
            self._received = rest
            self._transport.write(self._answer)


def _after_request(received: bytes) -> bytes | None:
    """What follows the first request; None if that is not whole yet."""
    head, found, body = received.partition(END_OF_HEAD)
    if not found:
        return None
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(LENGTH)]
    length = int(lines[0][len(LENGTH) :]) if lines else 0
    return body[length:] if len(body) >= length else None


async def serve(port: int, num_bytes: int) -> None:
    """Until the process is ended."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (num_bytes, b"x" * num_bytes)
    server = await asyncio.get_running_loop().create_server(lambda: Echo(answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
