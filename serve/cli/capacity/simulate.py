"""Discrete-event simulation of a plan: the service's batching, routing and graph, without the formulas of capacity.py.

Simulated: Poisson arrivals or closed-loop clients; a hop between stages; a router that takes the shorter of two random
queues; replicas that compute what has queued up; batches that wait for a core of their node; an engine with continuous
batching; embedding and dense search in parallel with keyword search. Service times do not vary.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from statistics import fmean
from typing import NamedTuple, Protocol

from serve.cli.capacity.profile import BatchTimes, StageName

Callback = Callable[[], None]
WARM_UP_FRACTION = 0.2  # of the simulated time; not counted


@dataclass(frozen=True)
class Station:
    """Replicas of one stage. `shards`: for each shard, each replica's node number; None if it needs no core.

    `num_rounds`: visits of a query. Only the last one takes time of its own.
    """

    times: BatchTimes
    max_batch: int
    shards: tuple[tuple[int | None, ...], ...]
    num_rounds: int = 1


@dataclass(frozen=True)
class Layout:
    """Input of a simulation: the stages, the cores of each node, the seconds of a hop."""

    stations: dict[StageName, Station]
    cores: tuple[float, ...]
    hop_s: float


@dataclass(frozen=True)
class Simulated:
    """Throughput and latency of the queries after the warm-up."""

    per_s: float
    mean_s: float
    p95_s: float
    num_queries: int


class _Answer(NamedTuple):
    """When a query was answered, and how long it took."""

    at_s: float
    seconds: float


def open_loop(layout: Layout, queries_per_s: float, seconds: float, seed: int = 0) -> Simulated:
    """Poisson arrivals, independent of the answers."""
    clock, rng, answers = Clock(), random.Random(seed), list[_Answer]()
    graph = Graph(layout, clock, rng)

    def arrive() -> None:
        start = clock.now
        graph.ask(lambda: answers.append(_Answer(clock.now, clock.now - start)))
        clock.after(rng.expovariate(queries_per_s), arrive)

    clock.after(0.0, arrive)
    clock.run(seconds)
    return _summary(answers, seconds)


def closed_loop(layout: Layout, clients: int, seconds: float, seed: int = 0) -> Simulated:
    """`clients` callers; each asks again when it gets its answer."""
    clock, answers = Clock(), list[_Answer]()
    graph = Graph(layout, clock, random.Random(seed))

    def ask() -> None:
        start = clock.now

        def answered() -> None:
            answers.append(_Answer(clock.now, clock.now - start))
            ask()

        graph.ask(answered)

    for number in range(clients):
        clock.after(number * 1e-4, ask)
    clock.run(seconds)
    return _summary(answers, seconds)


def _summary(answers: list[_Answer], seconds: float) -> Simulated:
    begin = WARM_UP_FRACTION * seconds
    times = sorted(answer.seconds for answer in answers if begin <= answer.at_s <= seconds)
    if not times:
        return Simulated(0.0, float("inf"), float("inf"), 0)
    return Simulated(len(times) / (seconds - begin), fmean(times), times[int(0.95 * len(times))], len(times))


class Clock:
    """Simulated time in seconds, and the queue of events."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callback]] = []
        self._numbers = count()

    def after(self, seconds: float, callback: Callback) -> None:
        """Events at the same time keep the order of their calls."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), callback))

    def run(self, until_s: float) -> None:
        while self._events and self._events[0][0] <= until_s:
            self.now, _, callback = heapq.heappop(self._events)
            callback()


@dataclass
class Node:
    """Free cores, and the batches that wait for cores, first come first served."""

    free: float
    waiting: deque[tuple[float, Callback]] = field(default_factory=deque)

    def acquire(self, cores: float, callback: Callback) -> None:
        self.waiting.append((cores, callback))
        self._serve()

    def release(self, cores: float) -> None:
        self.free += cores
        self._serve()

    def _serve(self) -> None:
        while self.waiting and self.waiting[0][0] <= self.free + 1e-9:
            cores, callback = self.waiting.popleft()
            self.free -= cores
            callback()


class Replica(Protocol):
    """`load`: queued and running queries."""

    load: int

    def put(self, done: Callback) -> None: ...


class BatchReplica:
    """Computes one batch at a time, of all that has queued up."""

    def __init__(self, clock: Clock, station: Station, node: Node | None) -> None:
        self._clock, self._times, self._max_batch, self._node = clock, station.times, station.max_batch, node
        self._queue: deque[Callback] = deque()
        self._counting: list[Callback] = []
        self._is_busy = False
        self.load = 0

    def put(self, done: Callback) -> None:
        self.load += 1
        self._queue.append(done)
        if not self._is_busy:
            self._next()

    def count(self, done: Callback) -> None:
        """The first of two rounds: it is answered with the next batch, and adds no time to it."""
        self.load += 1
        self._counting.append(done)
        if not self._is_busy:
            self._next()

    def _next(self) -> None:
        self._is_busy = bool(self._queue or self._counting)
        if not self._is_busy:
            return
        if self._node is None:
            self._compute()
        else:
            self._node.acquire(self._times.cpus, self._compute)

    def _compute(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(self._max_batch, len(self._queue)))]
        counted, self._counting = self._counting, []
        self._clock.after(self._times.seconds(len(batch)), lambda: self._done(counted + batch))

    def _done(self, batch: list[Callback]) -> None:
        self.load -= len(batch)
        if self._node is not None:
            self._node.release(self._times.cpus)
        self._next()
        for done in batch:
            done()


class ContinuousReplica:
    """An engine: all running requests progress together. Among n, each does 1 / seconds(n) of its life per second."""

    def __init__(self, clock: Clock, station: Station) -> None:
        self._clock, self._times, self._max_batch = clock, station.times, station.max_batch
        self._queue: deque[Callback] = deque()
        self._running: deque[tuple[float, Callback]] = deque()  # (value of _life at which it ends, callback), ascending
        self._life = self._updated_at = 0.0
        self._version = 0
        self.load = 0

    def put(self, done: Callback) -> None:
        self.load += 1
        self._queue.append(done)
        self._advance()

    def _advance(self) -> None:
        """Update the progress, admit queued requests, and schedule the next end of a request."""
        if self._running:
            self._life += (self._clock.now - self._updated_at) / self._times.seconds(len(self._running))
        self._updated_at = self._clock.now
        finished = self._take_finished()
        while self._queue and len(self._running) < self._max_batch:
            self._running.append((self._life + 1.0, self._queue.popleft()))
        self._version += 1
        if self._running:
            remaining_s = max(0.0, self._running[0][0] - self._life) * self._times.seconds(len(self._running))
            version = self._version
            self._clock.after(remaining_s, lambda: self._advance() if version == self._version else None)
        for done in finished:
            done()

    def _take_finished(self) -> list[Callback]:
        finished: list[Callback] = []
        while self._running and self._running[0][0] <= self._life + 1e-9:
            finished.append(self._running.popleft()[1])
        self.load -= len(finished)
        return finished


class Graph:
    """The request path over replicas."""

    def __init__(self, layout: Layout, clock: Clock, rng: random.Random) -> None:
        self._clock, self._rng, self._hop_s = clock, rng, layout.hop_s
        nodes = [Node(cores) for cores in layout.cores]
        self._shards: dict[StageName, list[list[Replica]]] = {
            name: [[_replica(clock, station, nodes, node) for node in shard] for shard in station.shards]
            for name, station in layout.stations.items()
        }
        self._num_rounds = {name: station.num_rounds for name, station in layout.stations.items()}

    def ask(self, answered: Callback) -> None:
        """ingress -> (embed -> dense) in parallel with lexical -> rerank -> generate."""

        def generate() -> None:
            self._visit("generate", answered)

        def rerank() -> None:
            self._visit("rerank", generate)

        def search() -> None:
            searched = _after_calls(2, rerank)
            self._visit("embed", lambda: self._visit("dense", searched))
            self._visit("lexical", searched)

        self._visit("ingress", search)

    def _visit(self, stage: StageName, then: Callback) -> None:
        """Send the query to every shard of the stage, at the shorter of two random queues, in one round or two."""

        def rank() -> None:
            self._visit_all(self._shards[stage], lambda replica, done: replica.put(done), then)

        if self._num_rounds[stage] == 1:
            rank()
        else:
            self._visit_all(self._shards[stage], _count, rank)

    def _visit_all(
        self, shards: list[list[Replica]], call: Callable[[Replica, Callback], None], then: Callback
    ) -> None:
        done = then if len(shards) == 1 else _after_calls(len(shards), then)
        for shard in shards:
            self._clock.after(self._hop_s, lambda replicas=shard: call(self._choose(replicas), done))  # type: ignore[misc]

    def _choose(self, replicas: list[Replica]) -> Replica:
        if len(replicas) == 1:
            return replicas[0]
        first, second = self._rng.sample(replicas, 2)
        return first if first.load <= second.load else second


def _count(replica: Replica, done: Callback) -> None:
    assert isinstance(replica, BatchReplica)  # no engine has two rounds
    replica.count(done)


def _replica(clock: Clock, station: Station, nodes: list[Node], node: int | None) -> Replica:
    if station.times.is_continuous:
        return ContinuousReplica(clock, station)
    return BatchReplica(clock, station, None if node is None else nodes[node])


def _after_calls(count: int, then: Callback) -> Callback:
    """A callback whose `count`-th call calls `then`."""
    remaining = count

    def call() -> None:
        nonlocal remaining
        remaining -= 1
        if not remaining:
            then()

    return call
