"""From a profile and a target to the cheapest plan that meets it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from serve.cli.capacity.capacity import NO_DELAY, Delay, core_wait, working
from serve.cli.capacity.errors import PlanError
from serve.cli.capacity.hardware import Hardware
from serve.cli.capacity.packing import Need, pack
from serve.cli.capacity.plan import MIN_SHARE, Placed, Plan, StagePlan, Target
from serve.cli.capacity.profile import STAGES, BatchTimes, Profile, StageName

MAX_SHARDS = 64  # SearchConfig's
GROWTHS = (1.0, 1.15, 1.35, 1.7, 2.5)  # replicas, over the fewest: what more of them do for the latency
SAME_LATENCY = 1.02  # for which a smaller batch is taken
FREE = 1e-6  # a price for hardware that has none, so that less of it is better
PROCESS_SHARE = 0.01  # of a node, for each replica: of two ways that take as much, the one with fewer processes
PARSER = Need("parse", 0.25, 0.0, 0.5)  # beside the query path: as it ships
ROUNDS = 6
MAX_TRIED = 500
HOPS = 5  # one after the other: ingress, embed, dense, rerank, generate
REMEDIES: dict[StageName, str] = {
    "ingress": "a class with faster cores",
    "embed": "a smaller embedding model, or a faster class",
    "dense": "an approximate index (hnsw, ivf_pq), or a faster class",
    "lexical": "a faster class, or a keyword index that is spread (Milvus)",
    "rerank": "fewer rerank_candidates, a smaller reranker, or a faster class",
    "generate": "shorter answers, a smaller model, or a faster class",
}

Used = dict[str, float]  # of the cores of a class, the share that computes


@dataclass(frozen=True)
class Option:
    """One way to run some stages: what it costs an hour, how long they take, how each is run."""

    cost: float
    delay: Delay
    stages: tuple[StagePlan, ...]


def solve(profile: Profile, target: Target, hardware: Hardware) -> Plan:
    """The cheapest plan found. Raises PlanError with what stands in the way.

    Stages are weighed by their own cheapest and quickest ways (a Pareto front each), and put together front by front.
    How busy the cores are decides how long batches wait for one, so that is taken from the plan before, until it stays.
    """
    used: Used = {}
    for _ in range(ROUNDS):
        plan = _solve_with(profile, target, hardware, used)
        found = _used(plan)
        if all(value <= used.get(name, 0.0) + 0.02 for name, value in found.items()):
            break
        used = {name: max(value, used.get(name, 0.0)) for name, value in found.items()}
    return plan


def _solve_with(profile: Profile, target: Target, hardware: Hardware, used: Used) -> Plan:
    options = {stage: list(_options(stage, profile, target, hardware, used)) for stage in STAGES}
    for stage, found in options.items():
        if not found:
            raise _no_option(stage, profile, hardware)
    search = _both(_chain(options["embed"], options["dense"]), options["lexical"])
    paths = _chain(_chain(_chain(options["ingress"], search), options["rerank"]), options["generate"])
    hops = Delay(HOPS * profile.hop_s, 0.0)
    meeting = [path for path in paths if (path.delay + hops).p95_s <= target.latency_s]
    if not meeting:
        raise _too_slow(min(paths, key=lambda path: path.delay.p95_s), hops, target)
    error: PlanError | None = None
    for path in sorted(meeting, key=lambda path: path.cost)[:MAX_TRIED]:
        try:
            placed = _place(path.stages, hardware)
        except PlanError as refused:
            error = error or refused
            continue
        stages = {stage.stage: stage for stage in path.stages}
        return Plan(target, hardware, stages, placed, path.delay + hops, profile.hop_s, profile.is_simulated)
    assert error is not None
    raise error


def _options(stage: StageName, profile: Profile, target: Target, hardware: Hardware, used: Used) -> Iterator[Option]:
    """The ways of one stage that no other is both cheaper and quicker than."""
    found: list[Option] = []
    for name, times in profile.times(stage, target.queries_per_s).items():
        if name not in hardware.classes:
            continue
        for shards in _shard_counts(stage, times, target, hardware.classes[name].memory_gb):
            held = times.holding(target.chunks / shards)
            found += _sized(StagePlan(stage, name, 1, 1, shards, held, 0.0, 1.0, NO_DELAY, 0.0), target, hardware, used)
    yield from _front(found)


def _shard_counts(stage: StageName, times: BatchTimes, target: Target, memory_gb: float) -> list[int]:
    """Deployments that share the vectors: as few as memory allows, and more of them, which are quicker."""
    if stage != "dense" or times.growth is None:
        return [1]
    room_gb = memory_gb - times.memory_gb
    if room_gb <= 0:
        return []
    fewest = max(1, math.ceil(target.chunks * times.bytes_per_chunk / 1e9 / room_gb))
    return [shards for shards in (fewest, 2 * fewest, 4 * fewest, 8 * fewest) if shards <= MAX_SHARDS]


def _sized(one: StagePlan, target: Target, hardware: Hardware, used: Used) -> Iterator[Option]:
    """The stage with so many replicas as bear the target, and with more of them, each with its smallest good batch."""
    most = target.utilization * one.times.per_s(one.times.max_batch)
    fewest = max(1, math.ceil(target.queries_per_s / most - 1e-9))
    for replicas in sorted({math.ceil(fewest * growth) for growth in GROWTHS} | {fewest + 1}):
        batches = [_at(replace(one, replicas=replicas, batch=size), target, hardware, used) for size in _sizes(one)]
        usable = [at for at in batches if target.queries_per_s <= target.utilization * at.per_s * (1 + 1e-9)]
        quickest = min((at.delay.p95_s for at in usable), default=math.inf)
        if math.isinf(quickest):
            continue
        best = next(at for at in usable if at.delay.p95_s <= SAME_LATENCY * quickest)
        cost = _cost(best, hardware)
        if math.isfinite(cost):
            yield Option(cost, best.delay, (best,))


def _sizes(one: StagePlan) -> list[int]:
    powers = [2**power for power in range(13) if 2**power < one.times.max_batch]
    return [*powers, one.times.max_batch]


def _at(one: StagePlan, target: Target, hardware: Hardware, used: Used) -> StagePlan:
    """The stage at the target's rate."""
    rate, wait = target.queries_per_s / one.replicas, NO_DELAY
    if not one.times.gpus and not one.times.is_continuous:
        cores = hardware.classes[one.hardware].cpus / one.times.cpus
        wait = core_wait(used.get(one.hardware, 0.0), cores, one.times.seconds(1))
    at = working(one.times, rate, one.batch, one.replicas, wait)
    return replace(one, busy=at.busy, gathered=at.batch, delay=at.delay, num_cpus=_num_cpus(one.times, at.busy, target))


def _num_cpus(times: BatchTimes, busy: float, target: Target) -> float:
    """Ray's share: what it keeps busy at the target, with the same reserve; all of it beside a GPU."""
    cpus = times.cpus if times.gpus else times.cpus * min(1.0, busy / target.utilization)
    return float(math.ceil(cpus)) if cpus > 1 else max(MIN_SHARE, math.ceil(cpus * 20 - 1e-6) / 20)


def _need(stage: StagePlan) -> Need:
    return Need(stage.stage, stage.num_cpus, stage.times.gpus, stage.times.memory_gb)


def _cost(stage: StagePlan, hardware: Hardware) -> float:
    node = hardware.classes[stage.hardware]
    share = _need(stage).share_of(node) + PROCESS_SHARE
    return (node.price_per_hour + FREE) * stage.shards * stage.replicas * share


def _front(options: Sequence[Option]) -> list[Option]:
    """The cheapest first; each one after is quicker."""
    front: list[Option] = []
    for option in sorted(options, key=lambda one: (one.cost, one.delay.p95_s)):
        if not front or option.delay.p95_s < front[-1].delay.p95_s:
            front.append(option)
    return front


def _chain(first: Sequence[Option], then: Sequence[Option]) -> list[Option]:
    return _front([Option(a.cost + b.cost, a.delay + b.delay, a.stages + b.stages) for a in first for b in then])


def _both(one: Sequence[Option], other: Sequence[Option]) -> list[Option]:
    """At the same time: the slower is waited for."""
    pairs = ((a, b) for a in one for b in other)
    return _front([Option(a.cost + b.cost, a.delay.slower(b.delay), a.stages + b.stages) for a, b in pairs])


def _place(stages: Sequence[StagePlan], hardware: Hardware) -> tuple[Placed, ...]:
    """Raises PlanError where a class has too few nodes."""
    placed: list[Placed] = []
    parser_at = next(stage.hardware for stage in stages if stage.stage == "ingress")
    for name, node in hardware.classes.items():
        here = [stage for stage in stages if stage.hardware == name]
        needs = [_need(stage) for stage in here for _ in range(stage.shards * stage.replicas)]
        needs += [PARSER] * (name == parser_at)
        nodes = pack(needs, node) if needs else []
        if len(nodes) > node.max_nodes:
            largest = max(here, key=lambda stage: stage.shards * stage.replicas * _need(stage).share_of(node))
            raise _too_few(name, len(nodes), node.max_nodes, largest)
        if nodes:
            price = len(nodes) * node.price_per_hour
            placed.append(Placed(name, tuple(tuple(one.names) for one in nodes), price))
    return tuple(placed)


def _used(plan: Plan) -> Used:
    used: Used = {}
    for placed in plan.placed:
        computing = sum(stage.cores_used for stage in plan.stages.values() if stage.hardware == placed.hardware)
        used[placed.hardware] = computing / (len(placed.nodes) * plan.hardware.classes[placed.hardware].cpus)
    return used


def _no_option(stage: StageName, profile: Profile, hardware: Hardware) -> PlanError:
    measured = profile.times(stage, 1.0)
    if not set(measured) & set(hardware.classes):
        return PlanError(stage, f"was measured on {', '.join(measured)} alone", "a profile of the hardware at hand")
    return PlanError(stage, "fits on no node: memory, GPUs, or cores that are never free", "larger or more nodes")


def _too_slow(quickest: Option, hops: Delay, target: Target) -> PlanError:
    """Names the stage that takes most of the time even in its quickest way."""
    worst = max(quickest.stages, key=lambda stage: stage.delay.p95_s)
    takes = (quickest.delay + hops).p95_s
    reason = (
        f"takes {worst.delay.p95_s:.3g} s (p95) on {worst.hardware} with {worst.replicas} replicas, of which "
        f"{worst.times.seconds(1):.3g} s are a batch of one; the whole path takes {takes:.3g} s at best, "
        f"and {target.latency_s:g} s are wanted"
    )
    return PlanError(worst.stage, reason, REMEDIES[worst.stage])


def _too_few(name: str, wanted: int, have: int, largest: StagePlan) -> PlanError:
    reason = f"has {have} of the {wanted} nodes that it takes, most of all for {largest.replicas} x {largest.stage}"
    return PlanError(name, reason, f"more nodes, or {REMEDIES[largest.stage]}")
