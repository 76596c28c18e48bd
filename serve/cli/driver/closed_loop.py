"""The closed loop: a fixed number of clients, each of which sends its next request once it has its answer.

`python -m serve.cli.driver.closed_loop` reads a Load as JSON from its standard input and writes a LoadResult to its
standard output.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from serve.cli.driver.connection import CONNECTION_ERRORS, Connection
from serve.cli.driver.module_process import run_module

MAX_MESSAGES = 3
GRACE_S = 120.0  # for the requests that are in flight when the turn ends
STREAM_END = b"data: [DONE]"
DATA = b"data: "


@dataclass(frozen=True)
class Load:
    """What to send: the lines of `bodies` (a file) from line `first` on, in order, by `clients` for `seconds`.

    `items` is what one body counts for: texts, pairs. A stream counts the tokens that its usage names instead.
    `repeats`: start again after the last body; otherwise the turn ends there. `warm_s`: load before `seconds`; with it,
    only what ends between the two limits counts. `reads_answers`: answers are ragserve's, with their stages' times.
    `use_caches`: a cache of the server may answer. `key`: an API key, sent as a bearer token.
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
    warm_s: float = 0.0
    reads_answers: bool = False
    use_caches: bool = False
    key: str = ""


@dataclass(frozen=True)
class LoadResult:
    """`per_s` is items a second from the first request to the last answer: no request starts after the turn, and every
    request is waited for. The tokens of a stream come evenly, so only those within the turn count.

    Times in seconds. `first_s` is the median time to the first token, of streams alone. `driver_cpu` is in cores.
    Where answers were read, `timings` are the seconds of each stage, an entry an answer, and `degraded` counts answers
    that lack a stage.
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
    timings: tuple[dict[str, float], ...] = ()
    degraded: int = 0


@dataclass(frozen=True)
class Answer:
    """One request, by the clock of time.perf_counter. `error` is empty if it succeeded."""

    start: float
    end: float
    items: int
    first: float = 0.0
    error: str = ""
    timings: dict[str, float] = field(default_factory=dict)
    is_degraded: bool = False


def drive(load: Load) -> LoadResult:
    """Runs the load in a process of its own. Raises RuntimeError if that process fails."""
    timeout_s = load.warm_s + load.seconds + 2 * GRACE_S
    return LoadResult(**run_module("serve.cli.driver.closed_loop", asdict(load), timeout_s))


@dataclass
class Turn:
    """The running turn: the next body, the end of the turn, and the answers so far."""

    load: Load
    bodies: list[bytes]
    end: float = 0.0
    num_sent: int = 0
    answers: list[Answer] = field(default_factory=list)

    def next_body(self) -> bytes | None:
        place = self.load.first + self.num_sent
        if time.perf_counter() >= self.end or (not self.load.repeats and place >= len(self.bodies)):
            return None
        self.num_sent += 1
        return self.bodies[place % len(self.bodies)]


async def run(load: Load, bodies: list[bytes]) -> LoadResult:
    """The turn, in this process. Every client keeps one connection; it opens another after an error."""
    turn = Turn(load, bodies)
    cpu, start = time.process_time(), time.perf_counter()
    turn.end = start + load.warm_s + load.seconds
    clients = [asyncio.create_task(_client(turn)) for _ in range(load.clients)]
    done, late = await asyncio.wait(clients, timeout=load.warm_s + load.seconds + GRACE_S)
    for client in late:
        client.cancel()
        turn.answers.append(Answer(start, time.perf_counter(), 0, error=f"no answer within {GRACE_S:g} s"))
    for client in done:
        client.result()
    last_end = max((answer.end for answer in turn.answers), default=start)
    driver_cpu = (time.process_time() - cpu) / max(last_end - start, 1e-9)
    if load.warm_s:
        counted = [answer for answer in turn.answers if start + load.warm_s <= answer.end < turn.end]
        return _summary(counted, turn.end - load.seconds, turn.end, driver_cpu, is_cut=False)
    is_cut = load.stream and load.repeats
    return _summary(turn.answers, start, turn.end if is_cut else last_end, driver_cpu, is_cut)


async def _client(turn: Turn) -> None:
    connection: Connection | None = None
    while (body := turn.next_body()) is not None:
        start = time.perf_counter()
        try:
            connection = connection or await Connection.open(turn.load.host, turn.load.port)
            answer = await _ask(connection, turn.load, body, start)
        except CONNECTION_ERRORS as error:
            answer = Answer(start, time.perf_counter(), 0, error=f"{type(error).__name__}: {error}")
        if answer.error and connection is not None:
            connection.close()
            connection = None
        turn.answers.append(answer)
    if connection is not None:
        connection.close()


async def _ask(connection: Connection, load: Load, body: bytes, start: float) -> Answer:
    response = await connection.post(load.path, body, load.use_caches, load.key)
    if load.stream and response.status == 200:
        return await _read_stream(response.chunks, start)
    content, end = await response.content(), time.perf_counter()
    if response.status != 200:
        return Answer(start, end, 0, error=error_message(response.status, content))
    if not load.reads_answers:
        return Answer(start, end, load.items)
    answer = json.loads(content)
    return Answer(start, end, load.items, timings=answer["timings"], is_degraded=bool(answer["degraded"]))


def error_message(status: int, content: bytes) -> str:
    return f"HTTP {status}: {content[:300].decode(errors='replace')}"


async def _read_stream(chunks: AsyncIterator[bytes], start: float) -> Answer:
    """Server-sent events of chat completions: the first one with text in it, and the usage at the end."""
    first, tokens, has_end, incomplete = 0.0, 0, False, b""
    async for chunk in chunks:
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        for line in lines:
            if not first and _has_text(line):
                first = time.perf_counter() - start
            elif b'"completion_tokens"' in line:
                tokens = json.loads(line[len(DATA) :])["usage"]["completion_tokens"]
            has_end = has_end or line.startswith(STREAM_END)
    error = "" if has_end and tokens else f"the stream ended with {tokens} tokens and no usage or [DONE]"
    return Answer(start, time.perf_counter(), tokens, first, error)


def _has_text(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    choices = json.loads(line[len(DATA) :]).get("choices") or [{}]
    return bool((choices[0].get("delta") or {}).get("content"))


def _summary(answers: list[Answer], start: float, end: float, driver_cpu: float, is_cut: bool) -> LoadResult:
    """`is_cut`: an answer that ends after `end` counts for its fraction before it."""
    good = [answer for answer in answers if not answer.error]
    messages = dict.fromkeys(answer.error for answer in answers if answer.error)
    times = sorted(answer.end - answer.start for answer in good)
    items = sum(answer.items * (_fraction_before(answer, end) if is_cut else 1.0) for answer in good)
    return LoadResult(
        per_s=items / max(end - start, 1e-9),
        requests=len(good),
        errors=len(answers) - len(good),
        p50_s=percentile(times, 0.5),
        p95_s=percentile(times, 0.95),
        p99_s=percentile(times, 0.99),
        first_s=percentile(sorted(answer.first for answer in good), 0.5),
        messages=tuple(messages)[:MAX_MESSAGES],
        driver_cpu=driver_cpu,
        timings=tuple(answer.timings for answer in good if answer.timings),
        degraded=sum(answer.is_degraded for answer in good),
    )


def _fraction_before(answer: Answer, end: float) -> float:
    """The fraction of a request's time before `end`."""
    return min(1.0, max(0.0, end - answer.start) / max(answer.end - answer.start, 1e-9))


def percentile(ordered: list[float], fraction: float) -> float:
    """The nearest-rank percentile of values in rising order; 0 of an empty list."""
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0


def main() -> None:
    load = Load(**json.load(sys.stdin))
    result = asyncio.run(run(load, Path(load.bodies).read_bytes().splitlines()))
    sys.stdout.write(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
