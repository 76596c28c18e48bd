"""From a profile and a target to the cheapest plan that meets it."""

from collections.abc import Sequence

from serve.cli.capacity.capacity import Delay
from serve.cli.capacity.errors import PlanError
from serve.cli.capacity.hardware import Hardware
from serve.cli.capacity.options import Load, Option, Usage, need_of, parallel, pareto_front, sequence, stage_options
from serve.cli.capacity.packing import Need, pack
from serve.cli.capacity.plan import Placed, Plan, StagePlan, Target
from serve.cli.capacity.profile import STAGES, Profile, StageName

PARSER = Need("parse", 0.25, 0.0, 0.5)  # not on the query path; as in the shipped deployment file
ROUNDS = 6
USAGE_TOLERANCE = 0.02
MAX_CANDIDATES = 500
HOPS = 5  # in sequence: ingress, embed, dense, rerank, generate
REMEDIES: dict[StageName, str] = {
    "ingress": "a class with faster cores",
    "embed": "a smaller embedding model, or a faster class",
    "dense": "an approximate index (hnsw, ivf_pq), or a faster class",
    "lexical": "a faster class",
    "rerank": "fewer rerank_candidates, a smaller reranker, or a faster class",
    "generate": "shorter answers, a smaller model, or a faster class",
}


def solve(profile: Profile, target: Target, hardware: Hardware) -> Plan:
    """The cheapest plan that meets the target. Raises PlanError that names the bottleneck.

    Each stage contributes its Pareto front of cost and delay; the fronts are combined along the path. How long a batch
    waits for a core, and how many messages the ingress sends, depend on the plan. So one plan is the input of the
    next, until it settles.
    """
    load = Load()
    for _ in range(ROUNDS):
        plan = _solve_with(profile, target, hardware, load)
        usage = _usage_of(plan)
        is_settled = all(value <= load.usage.get(name, 0.0) + USAGE_TOLERANCE for name, value in usage.items())
        if is_settled and plan.num_calls <= load.num_calls:
            break
        highest = {name: max(value, load.usage.get(name, 0.0)) for name, value in usage.items()}
        load = Load(highest, max(plan.num_calls, load.num_calls))
    return plan


def _solve_with(profile: Profile, target: Target, hardware: Hardware, load: Load) -> Plan:
    hops = Delay(HOPS * profile.hop_s, 0.0)
    paths = _paths(profile, target, hardware, load)
    fast_enough = [path for path in paths if (path.delay + hops).p95_s <= target.latency_s]
    if not fast_enough:
        raise _too_slow(min(paths, key=lambda path: path.delay.p95_s), hops, target)
    path, placed = _cheapest_placeable(fast_enough, hardware)
    stages = {stage.stage: stage for stage in path.stages}
    stored_bytes = profile.stored_bytes_per_chunk + stages["dense"].times.mapped_bytes_per_chunk
    stored_gb = target.chunks * stored_bytes / 1e9
    return Plan(target, hardware, stages, placed, path.delay + hops, profile.hop_s, profile.is_simulated, stored_gb)


def _paths(profile: Profile, target: Target, hardware: Hardware, load: Load) -> list[Option]:
    """Options of the whole request path. Raises PlanError if a stage has none."""
    fronts: dict[StageName, list[Option]] = {}
    for stage in STAGES:
        fronts[stage] = pareto_front(stage_options(stage, profile, target, hardware, load))
        if not fronts[stage]:
            raise _no_option(stage, profile, hardware)
    search = parallel(sequence(fronts["embed"], fronts["dense"]), fronts["lexical"])
    return sequence(sequence(sequence(fronts["ingress"], search), fronts["rerank"]), fronts["generate"])


def _cheapest_placeable(paths: Sequence[Option], hardware: Hardware) -> tuple[Option, tuple[Placed, ...]]:
    """The cheapest path that fits on the nodes. Raises the PlanError of the cheapest path if none does."""
    first_error: PlanError | None = None
    for path in sorted(paths, key=lambda path: path.cost)[:MAX_CANDIDATES]:
        try:
            return path, _place(path.stages, hardware)
        except PlanError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _place(stages: Sequence[StagePlan], hardware: Hardware) -> tuple[Placed, ...]:
    """Raises PlanError if a class has too few nodes."""
    placed: list[Placed] = []
    parser_class = next(stage.hardware for stage in stages if stage.stage == "ingress")
    for name, node in hardware.classes.items():
        on_class = [stage for stage in stages if stage.hardware == name]
        needs = [need_of(stage) for stage in on_class for _ in range(stage.shards * stage.replicas)]
        needs += [PARSER] * (name == parser_class)
        nodes = pack(needs, node) if needs else []
        if len(nodes) > node.max_nodes:
            largest = max(on_class, key=lambda stage: stage.shards * stage.replicas * need_of(stage).fraction_of(node))
            raise _too_few_nodes(name, len(nodes), node.max_nodes, largest)
        if nodes:
            price = len(nodes) * hardware.price_per_hour(name)
            placed.append(Placed(name, tuple(tuple(packed.names) for packed in nodes), price))
    return tuple(placed)


def _usage_of(plan: Plan) -> Usage:
    usage: Usage = {}
    for placed in plan.placed:
        busy_cores = sum(stage.cores_used for stage in plan.stages.values() if stage.hardware == placed.hardware)
        usage[placed.hardware] = busy_cores / (len(placed.nodes) * plan.hardware.classes[placed.hardware].cpus)
    return usage


def _no_option(stage: StageName, profile: Profile, hardware: Hardware) -> PlanError:
    measured = profile.times(stage, 1.0)
    if not set(measured) & set(hardware.classes):
        return PlanError(stage, f"was only measured on {', '.join(measured)}", "a profile of the available hardware")
    return PlanError(stage, "fits on no node: too little memory, too few GPUs or free cores", "larger or more nodes")


def _too_slow(fastest: Option, hops: Delay, target: Target) -> PlanError:
    """Names the stage that takes most of the time in its fastest configuration."""
    slowest = max(fastest.stages, key=lambda stage: stage.delay.p95_s)
    path_s = (fastest.delay + hops).p95_s
    reason = (
        f"takes {slowest.delay.p95_s:.3g} s (p95) on {slowest.hardware} with {slowest.replicas} replicas; a batch of "
        f"one takes {slowest.times.seconds(1):.3g} s. The whole path takes at least {path_s:.3g} s, but the target is "
        f"{target.latency_s:g} s"
    )
    return PlanError(slowest.stage, reason, REMEDIES[slowest.stage])


def _too_few_nodes(name: str, num_needed: int, max_nodes: int, largest: StagePlan) -> PlanError:
    reason = f"has {max_nodes} of the {num_needed} nodes needed, most of them for {largest.replicas} x {largest.stage}"
    return PlanError(name, reason, f"more nodes, or {REMEDIES[largest.stage]}")
