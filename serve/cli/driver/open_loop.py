"""The open loop: requests arrive at their times, whether or not the earlier ones were answered.

A late service gets no pause: unanswered requests add up. `python -m serve.cli.driver.open_loop` reads an OpenLoad as
JSON from its standard input and writes an OpenLoopResult to its standard output; the caller computes its summary.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

from serve.cli.driver.closed_loop import error_message
from serve.cli.driver.connection import CONNECTION_ERRORS, Connection
from serve.cli.driver.module_process import ModuleProcess, module_process

MODULE = "serve.cli.driver.open_loop"
UNSENT, UNANSWERED = "unsent", "unanswered"
SPARE_S = 60.0  # for the process to start and to end, after the last deadline


@dataclass(frozen=True)
class Arrivals:
    """A Poisson process of `per_s` requests a second to one path; `bodies` is a file with a body a line."""

    path: str
    bodies: str
    per_s: float


@dataclass(frozen=True)
class Phase:
    """A time of constant rates."""

    seconds: float
    arrivals: tuple[Arrivals, ...]


@dataclass(frozen=True)
class OpenLoad:
    """Phases, one after the other. A request fails without an answer within `timeout_s`.

    With `max_in_flight` requests in flight, the next one is not sent, and recorded as UNSENT. `start_at` is the time of
    the first phase by the machine's clock (time.time); 0 is at once.
    """

    host: str
    port: int
    phases: tuple[Phase, ...]
    timeout_s: float
    max_in_flight: int = 1024
    seed: int = 11
    start_at: float = 0.0

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)

    @property
    def max_duration_s(self) -> float:
        """After this time the process has ended, or hangs."""
        return self.seconds + self.timeout_s + SPARE_S


@dataclass(frozen=True)
class Record:
    """One request. Times are in seconds from the start of the first phase.

    `status` is 0 without a complete answer; `error` then is UNSENT, UNANSWERED, or an exception with its name first.
    `error_code` is the answer's own, "" if it has none. `is_degraded` is None if the answer does not say. `timings`:
    seconds of each stage, as the answer says.
    """

    path: str
    due_s: float
    sent_s: float
    ended_s: float
    status: int = 0
    error: str = ""
    error_code: str = ""
    has_retry_after: bool = False
    is_degraded: bool | None = None
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenLoopResult:
    """`records` in the order of sending; `driver_cpu` in cores, while requests were sent."""

    records: tuple[Record, ...]
    driver_cpu: float

    @staticmethod
    def of_json(raw: Any) -> "OpenLoopResult":
        return OpenLoopResult(tuple(Record(**record) for record in raw["records"]), raw["driver_cpu"])


def drive_open(load: OpenLoad) -> OpenLoopResult:
    """Runs the load in a process of its own. Raises RuntimeError if that process fails."""
    with driving_open(load) as process:
        return OpenLoopResult.of_json(process.result(load.max_duration_s))


@contextmanager
def driving_open(load: OpenLoad) -> Iterator[ModuleProcess]:
    """The same, for a caller that does other work during the load."""
    with module_process(MODULE, asdict(load)) as process:
        yield process


def arrivals(load: OpenLoad) -> list[tuple[float, Arrivals]]:
    """When each request is due, in seconds, in rising order. The same for the same seed."""
    source, start = random.Random(load.seed), 0.0
    due: list[tuple[float, Arrivals]] = []
    for phase in load.phases:
        for kind in phase.arrivals:
            due += ((at, kind) for at in _poisson(source, start, start + phase.seconds, kind.per_s))
        start += phase.seconds
    return sorted(due, key=lambda arrival: arrival[0])


def _poisson(source: random.Random, start: float, end: float, per_s: float) -> Iterator[float]:
    at = start
    while per_s > 0 and (at := at + source.expovariate(per_s)) < end:
        yield at


@dataclass
class Driver:
    """The requests in flight, and the idle connections."""

    load: OpenLoad
    start: float
    num_in_flight: int = 0
    records: list[Record] = field(default_factory=list)
    idle: list[Connection] = field(default_factory=list)

    async def run(self, bodies: dict[str, list[bytes]]) -> OpenLoopResult:
        """Returns once every request has ended. `bodies` by their file."""
        next_body = {name: cycle(lines) for name, lines in bodies.items()}
        cpu = time.process_time()
        async with asyncio.TaskGroup() as sending:
            for due, kind in arrivals(self.load):
                await asyncio.sleep(max(0.0, self.start + due - time.perf_counter()))
                sending.create_task(self._send(kind.path, next(next_body[kind.bodies]), due))
            driver_cpu = (time.process_time() - cpu) / self.load.seconds
        for connection in self.idle:
            connection.close()
        await asyncio.gather(*(connection.writer.wait_closed() for connection in self.idle), return_exceptions=True)
        return OpenLoopResult(tuple(sorted(self.records, key=lambda record: record.sent_s)), driver_cpu)

    async def _send(self, path: str, body: bytes, due_s: float) -> None:
        sent_s = self._now()
        if self.num_in_flight >= self.load.max_in_flight:
            self.records.append(Record(path, due_s, sent_s, sent_s, error=UNSENT))
            return
        self.num_in_flight += 1
        try:
            answer = await self._answer(path, body)
        finally:
            self.num_in_flight -= 1
        self.records.append(Record(path, due_s, sent_s, self._now(), **answer))

    async def _answer(self, path: str, body: bytes) -> dict[str, Any]:
        """The fields of a Record that tell how the request ended."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self.load.timeout_s):
                connection = await self._connection()
                response = await connection.post(path, body)
                content = await response.content()
        except CONNECTION_ERRORS as error:
            if connection is not None:
                connection.close()
            # A TimeoutError is an OSError.
            is_timeout = isinstance(error, TimeoutError)
            return {"error": UNANSWERED if is_timeout else f"{type(error).__name__}: {error}"}
        self.idle.append(connection)
        return _outcome(response.status, content) | {
            "status": response.status,
            "has_retry_after": response.headers.get(b"retry-after", b"").isdigit(),
        }

    async def _connection(self) -> Connection:
        """The connection that was used last, or a new one; a server may close those that are idle for long."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_closed_by_server:
                return connection
            connection.close()
        return await Connection.open(self.load.host, self.load.port)

    def _now(self) -> float:
        return time.perf_counter() - self.start


def _outcome(status: int, content: bytes) -> dict[str, Any]:
    error = "" if status == 200 else error_message(status, content)
    try:
        body = json.loads(content)
        if status == 200:
            return {"is_degraded": bool(body["degraded"]), "timings": body.get("timings") or {}}
        return {"error": error, "error_code": str(body["error"]["code"])}
    except (ValueError, KeyError, TypeError):
        return {"error": error}


async def run(load: OpenLoad, bodies: dict[str, list[bytes]]) -> OpenLoopResult:
    """The load, in this process. `bodies` are the lines of each file."""
    start_in_s = load.start_at - time.time() if load.start_at else 0.0
    return await Driver(load, time.perf_counter() + start_in_s).run(bodies)


def _load_of_json(raw: dict[str, Any]) -> OpenLoad:
    phases = tuple(
        Phase(phase["seconds"], tuple(Arrivals(**kind) for kind in phase["arrivals"])) for phase in raw["phases"]
    )
    return OpenLoad(**(raw | {"phases": phases}))


def main() -> None:
    load = _load_of_json(json.load(sys.stdin))
    names = {kind.bodies for phase in load.phases for kind in phase.arrivals}
    result = asyncio.run(run(load, {name: Path(name).read_bytes().splitlines() for name in names}))
    sys.stdout.write(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
