"""The load of `ragserve bench step`: requests at their times, whatever became of those before them.

`python -m serve.cli.bench.step.load` reads a StepLoad as JSON from its standard input and writes what it sent to its
standard output. In an open loop a service that is late gets no rest for it: what it has not done waits.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate

from serve.cli.driver.closed_loop import Connection, Load

TIMEOUT_S = 90.0  # of a request, from when it is sent
MAX_UNDER_WAY = 4_000  # past it, requests fail unsent
BODY = b'{"text": "When does the spring tide come?"}'
ASK, PARSE = "/ask", "/parse"


@dataclass(frozen=True)
class Phase:
    """A time of steady load: questions and files that arrive a second, on average."""

    name: str
    seconds: float
    questions_per_s: float
    files_per_s: float = 0.0


@dataclass(frozen=True)
class StepLoad:
    """What to send where. `start_at` is the first phase's begin, by the machine's clock (time.time)."""

    host: str
    port: int
    start_at: float
    phases: tuple[Phase, ...]
    seed: int = 0


@dataclass(frozen=True)
class Sent:
    """One request: when it was sent, in seconds from the first phase's begin, and how it ended; "" is well."""

    at_s: float
    path: str
    latency_s: float
    error: str = ""

    @property
    def ended_s(self) -> float:
        return self.at_s + self.latency_s


def arrivals(phases: Sequence[Phase], seed: int) -> list[tuple[float, str]]:
    """The times of a Poisson process for each path, in order: the same for the same seed."""
    source = random.Random(seed)
    ends = list(accumulate(phase.seconds for phase in phases))
    found: list[tuple[float, str]] = []
    for phase, end in zip(phases, ends, strict=True):
        for path, per_s in ((ASK, phase.questions_per_s), (PARSE, phase.files_per_s)):
            found += ((at, path) for at in _poisson(source, end - phase.seconds, end, per_s))
    return sorted(found)


def _poisson(source: random.Random, start: float, end: float, per_s: float) -> Iterator[float]:
    at = start
    while per_s > 0 and (at := at + source.expovariate(per_s)) < end:
        yield at


@dataclass
class Driver:
    """The requests under way, and the connections that none of them uses."""

    load: StepLoad
    began: float
    sent: list[Sent] = field(default_factory=list)
    idle: dict[str, list[Connection]] = field(default_factory=dict)

    async def run(self) -> list[Sent]:
        async with asyncio.TaskGroup() as under_way:
            num_under_way = 0

            def one_ended(_: asyncio.Task[None]) -> None:
                nonlocal num_under_way
                num_under_way -= 1

            for at, path in arrivals(self.load.phases, self.load.seed):
                await asyncio.sleep(max(0.0, self.began + at - time.perf_counter()))
                if num_under_way >= MAX_UNDER_WAY:
                    self.sent.append(Sent(at, path, 0.0, f"unsent: {MAX_UNDER_WAY} are under way"))
                    continue
                num_under_way += 1
                under_way.create_task(self._send(path)).add_done_callback(one_ended)
        for connection in (one for idle in self.idle.values() for one in idle):
            connection.close()
        return sorted(self.sent, key=lambda one: one.at_s)

    async def _send(self, path: str) -> None:
        start, connection, error = time.perf_counter(), None, ""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                connection = await self._connection(path)
                error = (await connection.ask(BODY, start)).error
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as raised:
            error = f"{type(raised).__name__}: {raised}"  # a TimeoutError is an OSError
        self.sent.append(Sent(start - self.began, path, time.perf_counter() - start, error))
        if connection is not None and error:
            connection.close()
        elif connection is not None:
            self.idle[path].append(connection)

    async def _connection(self, path: str) -> Connection:
        """The one that was used last, or another; the server may have closed those that were idle for long."""
        idle = self.idle.setdefault(path, [])
        while idle:
            connection = idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.close()
        return await Connection.open(Load(self.load.host, self.load.port, path, "", clients=1, seconds=0.0))


async def run(load: StepLoad) -> list[Sent]:
    """In this process: returns once every request has ended."""
    return await Driver(load, time.perf_counter() + load.start_at - time.time()).run()


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    phases = tuple(Phase(**phase) for phase in wanted["phases"])
    found = asyncio.run(run(StepLoad(**(wanted | {"phases": phases}))))
    sys.stdout.write(json.dumps([asdict(one) for one in found]))
