"""The plan, played event by event: the same batching, routing and graph as the service, with no formula of capacity.py.

What is played: arrivals at random or callers in a closed loop; a hop between stages; the router's choice of the
shorter of two queues; replicas that work on what gathered; batches that wait for a core of their node; an engine of
continuous batching; embed then dense search beside the keyword search. Times of service do not vary.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from statistics import fmean
from typing import Protocol

from serve.cli.capacity.profile import BatchTimes, StageName

Then = Callable[[], None]
WARM_SHARE = 0.2  # of the time, not counted


@dataclass(frozen=True)
class Station:
    """Replicas of one stage: a list of nodes, by number, for each shard; None where no core is waited for."""

    times: BatchTimes
    max_batch: int
    shards: tuple[tuple[int | None, ...], ...]


@dataclass(frozen=True)
class Layout:
    """What is simulated: the stages, the cores of each node, the seconds of a hop."""

    stations: dict[StageName, Station]
    cores: tuple[float, ...]
    hop_s: float


@dataclass(frozen=True)
class Simulated:
    """What came of it."""

    per_s: float
    mean_s: float
    p95_s: float
    num_queries: int


def open_loop(layout: Layout, queries_per_s: float, seconds: float, seed: int = 0) -> Simulated:
    """Arrivals at random (Poisson), whatever becomes of those before."""
    clock, chance, took = Clock(), random.Random(seed), list[tuple[float, float]]()
    graph = Graph(layout, clock, chance)

    def arrive() -> None:
        start = clock.now
        graph.ask(lambda: took.append((clock.now, clock.now - start)))
        clock.after(chance.expovariate(queries_per_s), arrive)

    clock.after(0.0, arrive)
    clock.run(seconds)
    return _summary(took, seconds)


def closed_loop(layout: Layout, clients: int, seconds: float, seed: int = 0) -> Simulated:
    """So many callers, each of whom asks again when it is answered."""
    clock, took = Clock(), list[tuple[float, float]]()
    graph = Graph(layout, clock, random.Random(seed))

    def ask() -> None:
        start = clock.now

        def answered() -> None:
            took.append((clock.now, clock.now - start))
            ask()

        graph.ask(answered)

    for number in range(clients):
        clock.after(number * 1e-4, ask)
    clock.run(seconds)
    return _summary(took, seconds)


def _summary(took: list[tuple[float, float]], seconds: float) -> Simulated:
    begin = WARM_SHARE * seconds
    times = sorted(time for ended, time in took if begin <= ended <= seconds)
    if not times:
        return Simulated(0.0, float("inf"), float("inf"), 0)
    return Simulated(len(times) / (seconds - begin), fmean(times), times[int(0.95 * len(times))], len(times))


class Clock:
    """Simulated time, in seconds, and what is to happen when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._numbers = count()

    def after(self, seconds: float, then: Then) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), then))

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now, _, then = heapq.heappop(self._events)
            then()


@dataclass
class Node:
    """Cores, and the batches that wait for some, first come first served."""

    free: float
    waiting: deque[tuple[float, Then]] = field(default_factory=deque)

    def take(self, cores: float, then: Then) -> None:
        self.waiting.append((cores, then))
        self._serve()

    def give(self, cores: float) -> None:
        self.free += cores
        self._serve()

    def _serve(self) -> None:
        while self.waiting and self.waiting[0][0] <= self.free + 1e-9:
            cores, then = self.waiting.popleft()
            self.free -= cores
            then()


class Replica(Protocol):
    load: int

    def put(self, done: Then) -> None: ...


class BatchReplica:
    """One batch at a time, of what gathered."""

    def __init__(self, clock: Clock, station: Station, node: Node | None) -> None:
        self._clock, self._times, self._max_batch, self._node = clock, station.times, station.max_batch, node
        self._queue: deque[Then] = deque()
        self._is_busy = False
        self.load = 0

    def put(self, done: Then) -> None:
        self.load += 1
        self._queue.append(done)
        if not self._is_busy:
            self._next()

    def _next(self) -> None:
        self._is_busy = bool(self._queue)
        if not self._is_busy:
            return
        if self._node is None:
            self._compute()
        else:
            self._node.take(self._times.cpus, self._compute)

    def _compute(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
        self._clock.after(self._times.seconds(len(batch)), lambda: self._done(batch))

    def _done(self, batch: list[Then]) -> None:
        self.load -= len(batch)
        if self._node is not None:
            self._node.give(self._times.cpus)
        self._next()
        for done in batch:
            done()


class ContinuousReplica:
    """An engine: all requests go on at once, each at 1 / seconds(n) of its life a second among n."""

    def __init__(self, clock: Clock, station: Station) -> None:
        self._clock, self._times, self._max_batch = clock, station.times, station.max_batch
        self._queue: deque[Then] = deque()
        self._running: deque[tuple[float, Then]] = deque()  # the life at which each is done, in order
        self._life = self._at = 0.0
        self._version = 0
        self.load = 0

    def put(self, done: Then) -> None:
        self.load += 1
        self._queue.append(done)
        self._change()

    def _change(self) -> None:
        """Brings the life up to date, lets requests in, and plans for the next one's end."""
        if self._running:
            self._life += (self._clock.now - self._at) / self._times.seconds(len(self._running))
        self._at = self._clock.now
        ended = self._take_ended()
        while self._queue and len(self._running) < self._max_batch:
            self._running.append((self._life + 1.0, self._queue.popleft()))
        self._version += 1
        if self._running:
            left = max(0.0, self._running[0][0] - self._life) * self._times.seconds(len(self._running))
            version = self._version
            self._clock.after(left, lambda: self._change() if version == self._version else None)
        for done in ended:
            done()

    def _take_ended(self) -> list[Then]:
        ended: list[Then] = []
        while self._running and self._running[0][0] <= self._life + 1e-9:
            ended.append(self._running.popleft()[1])
        self.load -= len(ended)
        return ended


class Graph:
    """The request path over replicas."""

    def __init__(self, layout: Layout, clock: Clock, chance: random.Random) -> None:
        self._clock, self._chance, self._hop_s = clock, chance, layout.hop_s
        nodes = [Node(cores) for cores in layout.cores]
        self._shards: dict[StageName, list[list[Replica]]] = {
            name: [[_replica(clock, station, nodes, node) for node in shard] for shard in station.shards]
            for name, station in layout.stations.items()
        }

    def ask(self, answered: Then) -> None:
        """ingress -> (embed -> dense) beside lexical -> rerank -> generate."""

        def generate() -> None:
            self._visit("generate", answered)

        def rerank() -> None:
            self._visit("rerank", generate)

        def search() -> None:
            both = _joined(2, rerank)
            self._visit("embed", lambda: self._visit("dense", both))
            self._visit("lexical", both)

        self._visit("ingress", search)

    def _visit(self, stage: StageName, then: Then) -> None:
        """Every shard of the stage is asked, each at the shorter of two queues."""
        shards = self._shards[stage]
        joined = then if len(shards) == 1 else _joined(len(shards), then)
        for shard in shards:
            self._clock.after(self._hop_s, lambda replicas=shard: self._choose(replicas).put(joined))  # type: ignore[misc]

    def _choose(self, replicas: list[Replica]) -> Replica:
        if len(replicas) == 1:
            return replicas[0]
        one, other = self._chance.sample(replicas, 2)
        return one if one.load <= other.load else other


def _replica(clock: Clock, station: Station, nodes: list[Node], node: int | None) -> Replica:
    if station.times.is_continuous:
        return ContinuousReplica(clock, station)
    return BatchReplica(clock, station, None if node is None else nodes[node])


def _joined(parts: int, then: Then) -> Then:
    """To be called `parts` times; the last calls `then`."""
    left = parts

    def part() -> None:
        nonlocal left
        left -= 1
        if not left:
            then()

    return part
