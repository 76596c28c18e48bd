"""What is wanted, and the plan for it."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from serve.cli.capacity.capacity import Delay
from serve.cli.capacity.hardware import Hardware
from serve.cli.capacity.profile import STAGES, BatchTimes, StageName
from serve.cli.capacity.simulate import Layout, Station

MIN_SHARE = 0.05


class Target(BaseModel):
    """What the service is to bear."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queries_per_s: float = Field(gt=0, le=1e6, description="Arrivals, at random.")
    latency_s: float = Field(gt=0, le=3600, description="That 95 of 100 answers are to keep, whole.")
    chunks: int = Field(ge=1, le=10**10, description="In all vector stores.")
    utilization: float = Field(default=0.8, gt=0, lt=1, description="Of its capacity, the share a stage may be given.")


@dataclass(frozen=True)
class StagePlan:
    """One stage: where it runs, in how many replicas (of each of its shards), with batches of how many queries.

    `times` are those of one replica with its part of the chunks; `busy` is the share of time that it computes, and
    `gathered` the mean batch, at the target.
    """

    stage: StageName
    hardware: str
    replicas: int
    batch: int
    shards: int
    times: BatchTimes
    busy: float
    gathered: float
    delay: Delay
    num_cpus: float

    @property
    def per_s(self) -> float:
        """Queries a second with full batches: every shard answers every query."""
        return self.replicas * self.times.per_s(self.batch)

    @property
    def cpu_s(self) -> float:
        """Of the cores of its nodes, for one query, with full batches."""
        return 0.0 if self.times.gpus else self.shards * self.times.cpus / self.times.per_s(self.batch)

    @property
    def cores_used(self) -> float:
        """In the mean, at the target."""
        return 0.0 if self.times.gpus else self.shards * self.replicas * self.busy * self.times.cpus


@dataclass(frozen=True)
class Limit:
    """What bounds the throughput: a stage, or the cores of a class."""

    name: str
    per_s: float


@dataclass(frozen=True)
class Placed:
    """The nodes of one class, and which stages' replicas are on each."""

    hardware: str
    nodes: tuple[tuple[str, ...], ...]
    price_per_hour: float


@dataclass(frozen=True)
class Plan:
    """The cheapest that was found."""

    target: Target
    hardware: Hardware
    stages: dict[StageName, StagePlan]
    placed: tuple[Placed, ...]
    delay: Delay
    hop_s: float
    is_simulated: bool

    @property
    def limits(self) -> list[Limit]:
        """What bounds the throughput, the bottleneck first."""
        limits = [Limit(stage.stage, stage.per_s) for stage in self.stages.values()]
        for placed in self.placed:
            cpu_s = sum(stage.cpu_s for stage in self.stages.values() if stage.hardware == placed.hardware)
            cores = len(placed.nodes) * self.hardware.classes[placed.hardware].cpus
            if cpu_s:
                limits.append(Limit(f"cores of {placed.hardware}", cores / cpu_s))
        return sorted(limits, key=lambda limit: limit.per_s)

    @property
    def per_s(self) -> float:
        """The most that it bears."""
        return self.limits[0].per_s

    @property
    def price_per_hour(self) -> float:
        return sum(placed.price_per_hour for placed in self.placed)

    @property
    def price_per_thousand(self) -> float:
        """Of a thousand queries, at the target's rate."""
        return self.price_per_hour / (3.6 * self.target.queries_per_s)

    def layout(self) -> Layout:
        """For the simulation: every replica on the node that it was packed on."""
        homes: dict[str, list[int]] = {}
        cores: list[float] = []
        for placed in self.placed:
            for names in placed.nodes:
                for name in names:
                    homes.setdefault(name, []).append(len(cores))
                cores.append(float(self.hardware.classes[placed.hardware].cpus))
        return Layout({name: _station(self.stages[name], homes[name]) for name in STAGES}, tuple(cores), self.hop_s)


def _station(stage: StagePlan, homes: list[int]) -> Station:
    nodes: list[int | None] = [None] * len(homes) if stage.times.gpus or stage.times.is_continuous else [*homes]
    shards = tuple(tuple(nodes[first :: stage.shards]) for first in range(stage.shards))
    return Station(stage.times, stage.batch, shards)
