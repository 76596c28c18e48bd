"""A server that answers every request with the same bytes: its throughput is the limit of the load driver itself.

`python -m serve.cli.driver.constant_server PORT NUM_BYTES`, on the loopback address.
"""

import asyncio
import sys

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


class ConstantAnswers(asyncio.Protocol):
    """One connection. It understands requests with a content-length, as the load drivers send them."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._received = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (remaining := _after_request(self._received)) is not None:
            self._received = remaining
            self._transport.write(self._answer)


def _after_request(received: bytes) -> bytes | None:
    """The bytes after the first request; None if that request is not complete."""
    head, separator, body = received.partition(END_OF_HEAD)
    if not separator:
        return None
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(LENGTH)]
    length = int(lines[0][len(LENGTH) :]) if lines else 0
    return body[length:] if len(body) >= length else None


async def serve(port: int, num_bytes: int) -> None:
    """Serves until the process is killed."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (num_bytes, b"x" * num_bytes)
    server = await asyncio.get_running_loop().create_server(lambda: ConstantAnswers(answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
