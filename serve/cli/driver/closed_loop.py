"""The load of `ragserve bench models`: clients in a closed loop, in a process of their own.

`python -m serve.cli.driver.closed_loop` reads a Load as JSON from its standard input and writes a LoadResult to its
standard output. It speaks HTTP/1.1 over asyncio's streams by itself: a client library costs a millisecond of CPU a request,
and the machine's cores are the server's. Imports nothing of the application, so that it starts at once.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

MAX_LINE = 4 * 1024**2
MAX_ERRORS_SHOWN = 3
GRACE_S = 120.0  # what was begun within the turn may take so long to end
STREAM_END = b"data: [DONE]"


@dataclass(frozen=True)
class Load:
    """What to send: the lines of `bodies` (a file) from line `first` on, in turn, by `clients` for `seconds`.

    `items` is what one body counts for: texts, pairs. A stream counts the tokens that its usage names instead.
    `repeats`: begin again after the last body; else the turn ends there.
    """

    host: str
    port: int
    path: str
    bodies: str
    clients: int
    seconds: float
    items: int = 1
    first: int = 0
    repeats: bool = True
    stream: bool = False


@dataclass(frozen=True)
class LoadResult:
    """`per_s` is what was done over the time from the first request to the last answer: no request is begun after the
    turn, but every one is waited for. A stream's tokens come evenly, so those within the turn count, and no others.

    Times in seconds. `first_s` is the time to the first token, of streams alone.
    """

    per_s: float
    requests: int
    errors: int
    p50_s: float
    p95_s: float
    p99_s: float
    first_s: float = 0.0
    messages: tuple[str, ...] = ()
    driver_cpu: float = 0.0


@dataclass(frozen=True)
class Answer:
    """One request: when it began and ended, what it brought; `error` is empty where it succeeded."""

    began: float
    ended: float
    items: int
    first: float = 0.0
    error: str = ""


def drive(load: Load) -> LoadResult:
    """Runs the load in a process of its own and waits for it."""
    command = [sys.executable, "-m", "serve.cli.driver.closed_loop"]
    ran = subprocess.run(
        command,
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        timeout=load.seconds + 2 * GRACE_S,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"the load driver failed: {ran.stderr[-2000:]}")
    return LoadResult(**json.loads(ran.stdout))


@dataclass
class Turn:
    """The running turn: whose body is next, until when, and the answers so far."""

    load: Load
    bodies: list[bytes]
    end: float = 0.0
    sent: int = 0
    answers: list[Answer] = field(default_factory=list)

    def next_body(self) -> bytes | None:
        if time.perf_counter() >= self.end or (not self.load.repeats and self.load.first + self.sent >= self.num_lines):
            return None
        body = self.bodies[(self.load.first + self.sent) % self.num_lines]
        self.sent += 1
        return body

    @property
    def num_lines(self) -> int:
        return len(self.bodies)


async def run(load: Load, bodies: list[bytes]) -> LoadResult:
    """The turn, in this process. Every client has one connection, which it keeps; it opens another after an error."""
    turn = Turn(load, bodies)
    cpu, began = time.process_time(), time.perf_counter()
    turn.end = began + load.seconds
    clients = [asyncio.create_task(_client(turn)) for _ in range(load.clients)]
    done, late = await asyncio.wait(clients, timeout=load.seconds + GRACE_S)
    for client in late:
        client.cancel()
        turn.answers.append(Answer(began, time.perf_counter(), 0, error=f"no answer within {GRACE_S:g} s"))
    for client in done:
        client.result()
    ended = max((answer.ended for answer in turn.answers), default=began)
    end = turn.end if load.stream and load.repeats else ended
    busy = (time.process_time() - cpu) / max(ended - began, 1e-9)
    return _summary(turn.answers, began, end, busy)


async def _client(turn: Turn) -> None:
    connection: Connection | None = None
    while (body := turn.next_body()) is not None:
        began = time.perf_counter()
        try:
            connection = connection or await Connection.open(turn.load)
            answer = await connection.ask(body, began)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            answer = Answer(began, time.perf_counter(), 0, error=f"{type(error).__name__}: {error}")
        if answer.error and connection is not None:
            connection.close()
            connection = None
        turn.answers.append(answer)
    if connection is not None:
        connection.close()


@dataclass
class Connection:
    """A kept connection to the server."""

    load: Load
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @staticmethod
    async def open(load: Load) -> "Connection":
        reader, writer = await asyncio.open_connection(load.host, load.port, limit=MAX_LINE)
        return Connection(load, reader, writer)

    def close(self) -> None:
        self.writer.close()

    async def ask(self, body: bytes, began: float) -> Answer:
        """Sends the body and reads the whole answer."""
        self.writer.write(
            b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (self.load.path.encode(), self.load.host.encode(), len(body), body)
        )
        status, headers = await self._head()
        parts = self._parts(headers)
        if self.load.stream and status == 200:
            return await self._read_stream(parts, began)
        content = b"".join([part async for part in parts])
        error = "" if status == 200 else f"HTTP {status}: {content[:300].decode(errors='replace')}"
        return Answer(began, time.perf_counter(), 0 if error else self.load.items, error=error)

    async def _head(self) -> tuple[int, dict[bytes, bytes]]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        pairs = (line.partition(b":") for line in lines if line)
        return int(first.split(b" ", 2)[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    async def _parts(self, headers: dict[bytes, bytes]) -> AsyncIterator[bytes]:
        """The body as it comes."""
        if b"chunked" not in headers.get(b"transfer-encoding", b""):
            yield await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
            return
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")

    async def _read_stream(self, parts: AsyncIterator[bytes], began: float) -> Answer:
        """Server-sent events of chat completions: the first with text in it, and the usage at the end."""
        first, tokens, is_whole, rest = 0.0, 0, False, b""
        async for part in parts:
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if not first and _has_text(line):
                    first = time.perf_counter() - began
                elif b'"completion_tokens"' in line:
                    tokens = json.loads(line[len(b"data: ") :])["usage"]["completion_tokens"]
                is_whole = is_whole or line.startswith(STREAM_END)
        error = "" if is_whole and tokens else f"the stream ended with {tokens} tokens and no usage or [DONE]"
        return Answer(began, time.perf_counter(), tokens, first, error)


def _has_text(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    choices = json.loads(line[len(b"data: ") :]).get("choices") or [{}]
    return bool((choices[0].get("delta") or {}).get("content"))


def _summary(answers: list[Answer], began: float, end: float, driver_cpu: float) -> LoadResult:
    good = [answer for answer in answers if not answer.error]
    messages = dict.fromkeys(answer.error for answer in answers if answer.error)
    times = sorted(answer.ended - answer.began for answer in good)
    firsts = sorted(answer.first for answer in good)
    items = sum(answer.items * _share_within(answer, end) for answer in good)
    return LoadResult(
        per_s=items / max(end - began, 1e-9),
        requests=len(good),
        errors=len(answers) - len(good),
        p50_s=percentile(times, 0.5),
        p95_s=percentile(times, 0.95),
        p99_s=percentile(times, 0.99),
        first_s=percentile(firsts, 0.5),
        messages=tuple(messages)[:MAX_ERRORS_SHOWN],
        driver_cpu=driver_cpu,
    )


def _share_within(answer: Answer, end: float) -> float:
    """The share of a request's time that lay before the turn's end."""
    return min(1.0, max(0.0, end - answer.began) / max(answer.ended - answer.began, 1e-9))


def percentile(ordered: list[float], share: float) -> float:
    """Of values in rising order, by nearest rank; 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


if __name__ == "__main__":
    wanted = Load(**json.load(sys.stdin))
    result = asyncio.run(run(wanted, Path(wanted.bodies).read_bytes().splitlines()))
    sys.stdout.write(json.dumps(asdict(result)))
