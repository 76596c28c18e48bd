"""The ways to run a stage, their cost and delay, and how they combine along the request path."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from serve.cli.capacity.capacity import NO_DELAY, Delay, core_wait, counting_round, operating_point
from serve.cli.capacity.hardware import Hardware
from serve.cli.capacity.packing import Need
from serve.cli.capacity.plan import MIN_NUM_CPUS, StagePlan, Target
from serve.cli.capacity.prices import HOURS_PER_MONTH
from serve.cli.capacity.profile import COALESCED, SHARDED, BatchTimes, Profile, StageName

MAX_SHARDS = 64  # SearchConfig's limit
GROWTHS = (1.0, 1.15, 1.35, 1.7, 2.5)  # replicas, relative to the fewest: more replicas shorten the delay
SIMILAR_LATENCY = 1.02  # a smaller batch is preferred within this factor of the best latency
FREE_PRICE = 1e-6  # replaces a price of zero, so that fewer nodes still cost less
PROCESS_FRACTION = 0.01  # of a node, added per replica: of two equal options, the one with fewer processes wins

Usage = dict[str, float]  # busy fraction of the cores, by class


@dataclass(frozen=True)
class Load:
    """What other stages of the plan do to a stage: the usage of the cores, and the calls of a query to the stages."""

    usage: Usage = field(default_factory=dict)
    num_calls: int = len(COALESCED)


@dataclass(frozen=True)
class Option:
    """One way to run some stages. `cost`: price per hour."""

    cost: float
    delay: Delay
    stages: tuple[StagePlan, ...]


def pareto_front(options: Iterable[Option]) -> list[Option]:
    """Cheapest first; each further option is faster than all before it."""
    front: list[Option] = []
    for option in sorted(options, key=lambda option: (option.cost, option.delay.p95_s)):
        if not front or option.delay.p95_s < front[-1].delay.p95_s:
            front.append(option)
    return front


def sequence(first: Sequence[Option], second: Sequence[Option]) -> list[Option]:
    """The delays add up."""
    return pareto_front(Option(a.cost + b.cost, a.delay + b.delay, a.stages + b.stages) for a in first for b in second)


def parallel(left: Sequence[Option], right: Sequence[Option]) -> list[Option]:
    """The longer delay counts."""
    return pareto_front(
        Option(a.cost + b.cost, a.delay.slower(b.delay), a.stages + b.stages) for a in left for b in right
    )


def stage_options(
    stage: StageName, profile: Profile, target: Target, hardware: Hardware, load: Load
) -> Iterator[Option]:
    """Options of one stage on every class where it was measured."""
    for name, times in profile.times(stage, target.queries_per_s, load.num_calls).items():
        if name not in hardware.classes:
            continue
        for shards in _shard_counts(stage, times, target, hardware.classes[name].memory_gb):
            of_shard = times.with_chunks(target.chunks / shards)
            disk_gb = times.disk_gb(target.chunks / shards) if stage in SHARDED else 0.0
            single = StagePlan(stage, name, 1, 1, shards, of_shard, 0.0, 1.0, NO_DELAY, 0.0, disk_gb, profile.hop_s)
            if single.num_rounds > 1:
                message_s = profile.message_s(stage, name, target.queries_per_s)
                of_shard = of_shard.model_copy(update={"per_item_s": of_shard.per_item_s + message_s})
            yield from _sized(replace(single, times=of_shard), target, hardware, load.usage)


def need_of(stage: StagePlan) -> Need:
    """What one replica reserves."""
    return Need(stage.stage, stage.num_cpus, stage.times.gpus, stage.times.memory_gb)


def _shard_counts(stage: StageName, times: BatchTimes, target: Target, memory_gb: float) -> list[int]:
    """The fewest shards that fit into memory, and more shards, which are faster."""
    if stage not in SHARDED or times.growth is None:
        return [1]
    index_gb = memory_gb - times.memory_gb
    if index_gb <= 0:
        return []
    fewest = max(1, math.ceil(times.index_gb(target.chunks) / index_gb))
    return [shards for shards in (fewest, 2 * fewest, 4 * fewest, 8 * fewest) if shards <= MAX_SHARDS]


def _sized(stage: StagePlan, target: Target, hardware: Hardware, usage: Usage) -> Iterator[Option]:
    """The fewest replicas that carry the target, and more replicas, each with its smallest good batch."""
    highest_per_s = target.utilization * stage.times.per_s(stage.times.max_batch)
    fewest = max(1, math.ceil(target.queries_per_s / highest_per_s - 1e-9))
    for replicas in sorted({math.ceil(fewest * growth) for growth in GROWTHS} | {fewest + 1}):
        best = _best_batch(replace(stage, replicas=replicas), target, hardware, usage)
        if best is None:
            continue
        cost = _cost(best, hardware)
        if math.isfinite(cost):
            yield Option(cost, best.delay, (best,))


def _best_batch(stage: StagePlan, target: Target, hardware: Hardware, usage: Usage) -> StagePlan | None:
    """The stage with the smallest batch whose delay is near the best. None if no batch carries the target."""
    sized = [_at_target(replace(stage, batch=size), target, hardware, usage) for size in _batch_sizes(stage)]
    usable = [each for each in sized if target.queries_per_s <= target.utilization * each.per_s * (1 + 1e-9)]
    shortest_s = min((each.delay.p95_s for each in usable), default=math.inf)
    if math.isinf(shortest_s):
        return None
    return next(each for each in usable if each.delay.p95_s <= SIMILAR_LATENCY * shortest_s)


def _batch_sizes(stage: StagePlan) -> list[int]:
    powers = [2**power for power in range(13) if 2**power < stage.times.max_batch]
    return [*powers, stage.times.max_batch]


def _at_target(stage: StagePlan, target: Target, hardware: Hardware, usage: Usage) -> StagePlan:
    """The stage with its load and delay at the target's rate."""
    rate, wait = target.queries_per_s / stage.replicas, NO_DELAY
    if not stage.times.gpus and not stage.times.is_continuous:
        cores = hardware.classes[stage.hardware].cpus / stage.times.cpus
        wait = core_wait(usage.get(stage.hardware, 0.0), cores, stage.times.seconds(1))
    point = operating_point(stage.times, rate, stage.batch, stage.replicas, wait)
    delay = point.delay
    if stage.num_rounds > 1 and math.isfinite(delay.mean_s):
        delay += counting_round(stage.times, rate, stage.batch, stage.replicas, stage.hop_s, wait)
    num_cpus = _num_cpus(stage.times, point.busy, target)
    return replace(stage, busy=point.busy, mean_batch=point.batch, delay=delay, num_cpus=num_cpus)


def _num_cpus(times: BatchTimes, busy: float, target: Target) -> float:
    """Ray's num_cpus: the cores that are busy at the target plus the reserve; all cores of a replica with a GPU."""
    cpus = times.cpus if times.gpus else times.cpus * min(1.0, busy / target.utilization)
    return float(math.ceil(cpus)) if cpus > 1 else max(MIN_NUM_CPUS, math.ceil(cpus * 20 - 1e-6) / 20)


def _cost(stage: StagePlan, hardware: Hardware) -> float:
    node = hardware.classes[stage.hardware]
    fraction = need_of(stage).fraction_of(node) + PROCESS_FRACTION
    num_replicas = stage.shards * stage.replicas
    disk = hardware.prices.disk_per_month(stage.disk_gb) / HOURS_PER_MONTH
    return num_replicas * ((hardware.price_per_hour(stage.hardware) + FREE_PRICE) * fraction + disk)
