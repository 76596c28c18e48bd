"""From a target to a plan: numbers, prices and errors."""

import math

import pytest

from serve.cli.capacity.errors import PlanError
from serve.cli.capacity.hardware import Hardware, NodeClass
from serve.cli.capacity.plan import Plan, Target
from serve.cli.capacity.profile import BatchTimes, IngressTimes
from serve.cli.capacity.solve import solve
from tests.serve.cli.capacity.profiles import CPU, GPU, HARDWARE, profile


def _plan(queries_per_s: float = 40.0, latency_s: float = 5.0, chunks: int = 100_000) -> Plan:
    return solve(profile(), Target(queries_per_s=queries_per_s, latency_s=latency_s, chunks=chunks), HARDWARE)


def test_a_stage_has_the_fewest_replicas_that_carry_the_target() -> None:
    generate = _plan().stages["generate"]

    # A life of 100 x 10 ms + 32 x (100 x 0.1 ms + 20 ms) = 1.96 s among 32: 16.3 queries/s, of which 80 % may be used.
    assert generate.times.per_s(32) == pytest.approx(32 / 1.96)
    assert generate.replicas == math.ceil(40 / (0.8 * 32 / 1.96))


def test_a_stage_is_placed_where_it_costs_least() -> None:
    stages = _plan().stages

    # Reranking 40 queries/s takes ten cores at 80 %, at a price of 1.25, or half a GPU, at a price of 2.
    assert stages["rerank"].hardware == CPU
    assert stages["generate"].hardware == GPU


def test_a_lower_latency_moves_a_stage_to_a_faster_class() -> None:
    assert _plan(queries_per_s=10.0, latency_s=5.0).stages["rerank"].hardware == CPU
    assert _plan(queries_per_s=10.0, latency_s=1.4).stages["rerank"].hardware == GPU


def test_every_stage_carries_the_target_below_the_utilization() -> None:
    plan = _plan()

    assert all(0.8 * stage.per_s >= 40.0 for stage in plan.stages.values())
    assert plan.delay.p95_s <= 5.0
    assert plan.per_s == plan.limits[0].per_s <= plan.limits[1].per_s


def test_whole_nodes_are_paid_for() -> None:
    plan = _plan()

    by_class = {placed.hardware: len(placed.nodes) for placed in plan.placed}
    assert plan.price_per_hour == pytest.approx(by_class[CPU] * 1.0 + by_class[GPU] * 4.0)
    assert plan.price_per_thousand == pytest.approx(plan.price_per_hour / (40 * 3.6))


def test_every_replica_has_a_node() -> None:
    plan = _plan()

    on_nodes = [name for placed in plan.placed for node in placed.nodes for name in node]
    for stage in plan.stages.values():
        assert on_nodes.count(stage.stage) == stage.shards * stage.replicas


def test_more_queries_never_cost_less() -> None:
    prices = [_plan(queries_per_s=rate).price_per_hour for rate in (1, 2, 5, 10, 20, 30, 50, 80, 120, 200, 300, 400)]

    assert prices == sorted(prices)


def test_a_higher_latency_never_costs_more() -> None:
    prices = [_plan(latency_s=latency).price_per_hour for latency in (1.6, 1.8, 2.0, 3.0, 20.0)]

    assert prices == sorted(prices, reverse=True)


def test_the_index_has_as_many_shards_as_memory_requires() -> None:
    # 31.5 GB of a node are free; 40 million chunks of 2 kB are 80 GB.
    fast = BatchTimes(fixed_s=0.001, per_item_s=0.001, max_batch=32, bytes_per_chunk=2_000)
    log = fast.model_validate(fast.model_dump() | {"growth": {"kind": "log", "at_chunks": 2, "per_item_s": 0.0001}})

    plan = solve(profile(dense={CPU: log}), Target(queries_per_s=10, latency_s=5.0, chunks=40_000_000), HARDWARE)

    assert plan.stages["dense"].shards == 3
    assert plan.stages["dense"].times.memory_gb == pytest.approx(0.5 + 80 / 3)


def test_an_impossible_latency_names_the_stage() -> None:
    with pytest.raises(PlanError, match=r"generate takes .* shorter answers") as refused:
        _plan(latency_s=0.9)

    assert refused.value.bottleneck == "generate"


def test_too_few_nodes_are_named() -> None:
    two_gpu_nodes = Hardware(
        classes=HARDWARE.classes | {GPU: HARDWARE.classes[GPU].model_copy(update={"max_nodes": 2})}
    )

    with pytest.raises(PlanError, match="gpu has 2 of the") as refused:
        solve(profile(), Target(queries_per_s=100, latency_s=5.0, chunks=1_000), two_gpu_nodes)

    assert refused.value.bottleneck == GPU


def test_a_class_without_measurements_is_named() -> None:
    other = Hardware(classes={"other": NodeClass(cpus=8, memory_gb=32)})

    with pytest.raises(PlanError, match="only measured on cpu"):
        solve(profile(), Target(queries_per_s=1, latency_s=5.0, chunks=1_000), other)


def test_shared_cores_can_be_the_bottleneck() -> None:
    here = {"here": BatchTimes(per_item_s=0.02)}
    shared = profile(
        ingress={"here": IngressTimes(cpu_s=0.02)}, embed=here, dense=here, lexical=here, rerank=here, generate=here
    )
    machine = Hardware(classes={"here": NodeClass(cpus=2, memory_gb=16)})

    plan = solve(shared, Target(queries_per_s=5, latency_s=5.0, chunks=1_000), machine)

    # Six stages take 20 ms each of two cores: 16.7 queries/s, although each stage alone carries 50.
    assert plan.limits[0].name == "cores of here"
    assert plan.per_s == pytest.approx(2 / 0.12)
