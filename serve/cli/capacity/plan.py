"""The target of a plan, and the plan."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from serve.cli.capacity.capacity import Delay
from serve.cli.capacity.hardware import Hardware
from serve.cli.capacity.prices import HOURS_PER_MONTH
from serve.cli.capacity.profile import COALESCED, STAGES, BatchTimes, StageName
from serve.cli.capacity.simulate import Layout, Station

MIN_NUM_CPUS = 0.05


class Target(BaseModel):
    """The load and the latency that a plan must meet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queries_per_s: float = Field(gt=0, le=1e6, description="Queries per second, arriving at random (Poisson).")
    latency_s: float = Field(gt=0, le=3600, description="Highest 95th percentile of the time of a whole answer.")
    chunks: int = Field(ge=1, le=10**10, description="Chunks in all vector stores.")
    utilization: float = Field(default=0.8, gt=0, lt=1, description="Highest load of a stage, relative to capacity.")


@dataclass(frozen=True)
class StagePlan:
    """One stage: its class of hardware, replicas (per shard), largest batch and shards.

    `times`: one replica with its part of the chunks. At the target, `busy` is the fraction of time that a replica
    computes, and `mean_batch` its mean batch.
    """

    stage: StageName
    hardware: str
    replicas: int
    batch: int
    shards: int
    times: BatchTimes
    busy: float
    mean_batch: float
    delay: Delay
    num_cpus: float
    disk_gb: float = 0.0  # of a replica
    hop_s: float = 0.0

    @property
    def num_rounds(self) -> int:
        """Messages of one query to each shard. Shards of the keyword search count words in a first round."""
        return 2 if self.stage == "lexical" and self.shards > 1 else 1

    @property
    def per_s(self) -> float:
        """Queries per second with full batches. Every shard answers every query."""
        return self.replicas * self.times.per_s(self.batch)

    @property
    def cpu_s(self) -> float:
        """Core seconds on its nodes for one query, with full batches."""
        return 0.0 if self.times.gpus else self.shards * self.times.cpus / self.times.per_s(self.batch)

    @property
    def cores_used(self) -> float:
        """Mean number of busy cores at the target."""
        return 0.0 if self.times.gpus else self.shards * self.replicas * self.busy * self.times.cpus


@dataclass(frozen=True)
class Limit:
    """A bound of the throughput: a stage, or the cores of a class."""

    name: str
    per_s: float


@dataclass(frozen=True)
class Placed:
    """The nodes of one class, each as the names of its replicas' stages."""

    hardware: str
    nodes: tuple[tuple[str, ...], ...]
    price_per_hour: float


@dataclass(frozen=True)
class Plan:
    """Stages on nodes, with the delay of the whole path at the target."""

    target: Target
    hardware: Hardware
    stages: dict[StageName, StagePlan]
    placed: tuple[Placed, ...]
    delay: Delay
    hop_s: float
    is_simulated: bool
    stored_gb: float = 0.0  # disk of the database

    @property
    def limits(self) -> list[Limit]:
        """Bounds of the throughput, lowest first: the first is the bottleneck."""
        limits = [Limit(stage.stage, stage.per_s) for stage in self.stages.values()]
        for placed in self.placed:
            cpu_s = sum(stage.cpu_s for stage in self.stages.values() if stage.hardware == placed.hardware)
            cores = len(placed.nodes) * self.hardware.classes[placed.hardware].cpus
            if cpu_s:
                limits.append(Limit(f"cores of {placed.hardware}", cores / cpu_s))
        return sorted(limits, key=lambda limit: limit.per_s)

    @property
    def per_s(self) -> float:
        """Highest throughput, in queries per second."""
        return self.limits[0].per_s

    @property
    def num_calls(self) -> int:
        """Calls of one query to the stages, without the generator."""
        return sum(self.stages[name].shards * self.stages[name].num_rounds for name in COALESCED)

    @property
    def disk_gb(self) -> float:
        """Disk of the database once, and of every searcher replica."""
        return self.stored_gb + sum(stage.shards * stage.replicas * stage.disk_gb for stage in self.stages.values())

    @property
    def nodes_per_month(self) -> float:
        return HOURS_PER_MONTH * sum(placed.price_per_hour for placed in self.placed)

    @property
    def disk_per_month(self) -> float:
        return self.hardware.prices.disk_per_month(self.disk_gb)

    @property
    def price_per_month(self) -> float:
        return self.nodes_per_month + self.disk_per_month

    @property
    def price_per_hour(self) -> float:
        """Nodes and disk."""
        return self.price_per_month / HOURS_PER_MONTH

    @property
    def price_per_thousand(self) -> float:
        """Price of 1,000 queries at the target's rate."""
        return self.price_per_hour / (3.6 * self.target.queries_per_s)

    def max_message_items(self, configured: int) -> int:
        """Items per message, at most `configured`. A message goes to one of several replicas: at most one batch."""
        batches = [self.stages[name].batch for name in COALESCED if self.stages[name].replicas > 1]
        return min(configured, *batches) if batches else configured

    def layout(self) -> Layout:
        """Input of the simulation, with each replica on the node where it is packed."""
        nodes_by_stage: dict[str, list[int]] = {}
        cores: list[float] = []
        for placed in self.placed:
            for names in placed.nodes:
                for name in names:
                    nodes_by_stage.setdefault(name, []).append(len(cores))
                cores.append(float(self.hardware.classes[placed.hardware].cpus))
        stations = {name: _station(self.stages[name], nodes_by_stage[name]) for name in STAGES}
        return Layout(stations, tuple(cores), self.hop_s)


def _station(stage: StagePlan, node_numbers: list[int]) -> Station:
    waits_for_core = not stage.times.gpus and not stage.times.is_continuous
    nodes: list[int | None] = [*node_numbers] if waits_for_core else [None] * len(node_numbers)
    shards = tuple(tuple(nodes[first :: stage.shards]) for first in range(stage.shards))
    return Station(stage.times, stage.batch, shards, stage.num_rounds)
