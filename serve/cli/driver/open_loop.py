"""The load of `ragserve bench overload`: requests that come whether or not the ones before were answered.

`python -m serve.cli.driver.open_loop` reads an Offer as JSON from its standard input and writes an OfferResult to its
standard output. A process of its own, for the reasons of serve/cli/driver/closed_loop.py, whose connections it uses.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from serve.cli.driver.closed_loop import MAX_LINE, Connection, Load, percentile

WHOLE, DEGRADED, UNANSWERED, UNSENT, BROKEN = "whole", "degraded", "unanswered", "unsent", "broken"
REFUSALS = (429, 503)
SPARE_S = 60.0  # past the last deadline, for the process to start and to end


@dataclass(frozen=True)
class Offer:
    """What to send: the lines of `bodies` (a file) in turn, by a Poisson process of `rate` a second for `seconds`.

    An answer must be there within `answer_s`. Only what ends after `warm_s` and within `seconds` counts as throughput:
    the first requests meet an empty service, and the last ones nobody follows. A request for which none of so many
    `connections` is free is not sent, and counted.
    """

    host: str
    port: int
    path: str
    bodies: str
    rate: float
    seconds: float
    warm_s: float
    answer_s: float
    connections: int = 1024
    seed: int = 11


@dataclass(frozen=True)
class OfferResult:
    """`whole` and `degraded` are answers a second; `offered` is requests a second. Counts are of the whole turn.

    `refused`: by status and code. `untyped`: refusals without our code or without Retry-After. `failed`: whatever else
    was answered, by status and code. Times in seconds, of whole answers; `lag_s` is how late the driver itself was.
    """

    offered: float
    whole: float
    degraded: float
    requests: int
    refused: dict[str, int]
    untyped: int
    failed: dict[str, int]
    unanswered: int
    unsent: int
    p50_s: float
    p95_s: float
    p99_s: float
    refusal_p99_s: float
    lag_s: float
    driver_cpu: float


@dataclass(frozen=True)
class Reply:
    """What became of one request: `kind` is one of the names above, or the status with the code of the error."""

    kind: str
    began: float
    ended: float
    status: int = 0
    is_typed: bool = True


def offer(wanted: Offer) -> OfferResult:
    """Runs the load in a process of its own and waits for it."""
    ran = subprocess.run(
        [sys.executable, "-m", "serve.cli.driver.open_loop"],
        input=json.dumps(asdict(wanted)),
        capture_output=True,
        text=True,
        timeout=wanted.seconds + wanted.answer_s + SPARE_S,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"the load driver failed: {ran.stderr[-2000:]}")
    return OfferResult(**json.loads(ran.stdout))


@dataclass
class Turn:
    """The running turn: its idle connections, how many there are, and what became of its requests."""

    wanted: Offer
    idle: list["Exchange"] = field(default_factory=list)
    num_open: int = 0
    replies: list[Reply] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    async def send(self, body: bytes, due: float) -> None:
        """One request, from its connection to its reply. Times count from when it was due, whatever held it up."""
        self.lags.append(time.perf_counter() - due)
        if not self.idle and self.num_open == self.wanted.connections:
            self.replies.append(Reply(UNSENT, due, due))
            return
        exchange = self.idle.pop() if self.idle else None
        self.num_open += exchange is None
        kind, status, is_typed = BROKEN, 0, True
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + self.wanted.answer_s):
                exchange = exchange or await Exchange.to(self.wanted)
                kind, status, is_typed = await exchange.post(body)
        except TimeoutError:
            kind = UNANSWERED
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            kind = f"{BROKEN}: {type(error).__name__}"
        self.replies.append(Reply(kind, due, time.perf_counter(), status, is_typed))
        if status:
            assert exchange is not None
            self.idle.append(exchange)
        else:
            self._drop(exchange)

    def _drop(self, exchange: "Exchange | None") -> None:
        self.num_open -= 1
        if exchange is not None:
            exchange.close()


class Exchange(Connection):
    """A kept connection, and what an answer on it says."""

    @staticmethod
    async def to(wanted: Offer) -> "Exchange":
        reader, writer = await asyncio.open_connection(wanted.host, wanted.port, limit=MAX_LINE)
        load = Load(wanted.host, wanted.port, wanted.path, wanted.bodies, 1, wanted.seconds)
        return Exchange(load, reader, writer)

    async def post(self, body: bytes) -> tuple[str, int, bool]:
        """What the answer is, its status, and whether a refusal is as ours are."""
        self.writer.write(
            b"POST %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (self.load.path.encode(), self.load.host.encode(), len(body), body)
        )
        status, headers = await self._head()
        content = b"".join([part async for part in self._parts(headers)])
        kind, is_coded = _kind(status, content)
        is_typed = status not in REFUSALS or (is_coded and headers.get(b"retry-after", b"").isdigit())
        return kind, status, is_typed


def _kind(status: int, content: bytes) -> tuple[str, bool]:
    """The name of the answer, and whether it is one of ours."""
    try:
        body: Any = json.loads(content)
        if status == 200:
            return (DEGRADED if body["degraded"] else WHOLE), True
        return f"{status} {body['error']['code']}", True
    except (ValueError, KeyError, TypeError):
        return f"{status} without a code", False


async def run(wanted: Offer, bodies: list[bytes]) -> OfferResult:
    """The turn, in this process."""
    turn, cpu, began = Turn(wanted), time.process_time(), time.perf_counter()
    sending = set[asyncio.Task[None]]()
    number = 0
    async for due in _arrivals(wanted, began):
        task = asyncio.create_task(turn.send(bodies[number % len(bodies)], due))
        sending.add(task)
        task.add_done_callback(sending.discard)
        number += 1
    busy = (time.process_time() - cpu) / wanted.seconds
    await asyncio.gather(*sending)
    for exchange in turn.idle:
        exchange.close()
    await asyncio.gather(*(exchange.writer.wait_closed() for exchange in turn.idle), return_exceptions=True)
    return summary(wanted, turn.replies, began, percentile(sorted(turn.lags), 0.99), busy)


async def _arrivals(wanted: Offer, began: float) -> AsyncIterator[float]:
    """When each request is due, once it is."""
    chance, due = random.Random(wanted.seed), began
    while (due := due + chance.expovariate(wanted.rate)) < began + wanted.seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        yield due


def summary(wanted: Offer, replies: list[Reply], began: float, lag_s: float, driver_cpu: float) -> OfferResult:
    """What the replies add up to."""
    first, last = began + wanted.warm_s, began + wanted.seconds
    kinds = Counter(reply.kind for reply in replies)
    counted = Counter(reply.kind for reply in replies if first <= reply.ended < last)
    whole = sorted(reply.ended - reply.began for reply in replies if reply.kind == WHOLE and reply.began >= first)
    refused = sorted(reply.ended - reply.began for reply in replies if reply.status in REFUSALS)
    known = (WHOLE, DEGRADED, UNANSWERED, UNSENT)
    is_refusal = {reply.kind: reply.status in REFUSALS for reply in replies}
    return OfferResult(
        offered=len(replies) / wanted.seconds,
        whole=counted[WHOLE] / (wanted.seconds - wanted.warm_s),
        degraded=counted[DEGRADED] / (wanted.seconds - wanted.warm_s),
        requests=len(replies),
        refused={kind: number for kind, number in kinds.items() if is_refusal[kind]},
        untyped=sum(not reply.is_typed for reply in replies),
        failed={kind: number for kind, number in kinds.items() if not is_refusal[kind] and kind not in known},
        unanswered=kinds[UNANSWERED],
        unsent=kinds[UNSENT],
        p50_s=percentile(whole, 0.5),
        p95_s=percentile(whole, 0.95),
        p99_s=percentile(whole, 0.99),
        refusal_p99_s=percentile(refused, 0.99),
        lag_s=lag_s,
        driver_cpu=driver_cpu,
    )


if __name__ == "__main__":
    asked = Offer(**json.load(sys.stdin))
    result = asyncio.run(run(asked, Path(asked.bodies).read_bytes().splitlines()))
    sys.stdout.write(json.dumps(asdict(result)))
