"""From a target to a plan: numbers, prices and errors."""

import math

import pytest

from serve.cli.capacity.errors import PlanError
from serve.cli.capacity.hardware import Hardware, NodeClass
from serve.cli.capacity.plan import Plan, StagePlan, Target
from serve.cli.capacity.prices import Prices
from serve.cli.capacity.profile import BatchTimes, IngressTimes
from serve.cli.capacity.solve import solve
from tests.serve.cli.capacity.profiles import CPU, GPU, HARDWARE, profile

LINEAR = {"kind": "linear", "at_chunks": 100_000, "per_item_s": 0.1}
LOG = {"kind": "log", "at_chunks": 2, "per_item_s": 0.0001}


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


def test_the_keyword_search_has_shards_where_the_latency_requires_it() -> None:
    slow = {
        "lexical": {CPU: BatchTimes.model_validate({"per_item_s": 0.001, "growth": LINEAR, "bytes_per_chunk": 300})}
    }

    def lexical(latency_s: float) -> StagePlan:
        target = Target(queries_per_s=2, latency_s=latency_s, chunks=1_000_000)
        return solve(profile(**slow), target, HARDWARE).stages["lexical"]

    assert (lexical(20.0).shards, lexical(20.0).num_rounds) == (1, 1)
    sharded = lexical(3.0)
    assert (sharded.shards > 1, sharded.num_rounds) == (True, 2)
    assert sharded.times.memory_gb == pytest.approx(0.5 + 0.3 / sharded.shards)


def test_each_shard_costs_the_ingress_a_message_a_round() -> None:
    ingress = {CPU: IngressTimes(cpu_s=0.001, message_cpu_s=0.002)}
    large = {CPU: BatchTimes.model_validate({"per_item_s": 0.001, "growth": LOG, "bytes_per_chunk": 80_000})}
    target = Target(queries_per_s=1, latency_s=5.0, chunks=1_000_000)

    plan = solve(profile(ingress=ingress, lexical=large), target, HARDWARE)

    # 80 GB on nodes with 31.5 GB free: three shards, two rounds. Embedder, dense search, reranker, generator: one each.
    assert plan.num_calls == 3 + 2 * 3
    messages = plan.num_calls / ingress[CPU].queries_per_message(1) + 1
    assert plan.stages["ingress"].times.per_item_s == pytest.approx(0.001 + 0.002 * messages)


def test_mapped_token_vectors_are_disk_and_a_part_of_them_memory() -> None:
    target = Target(queries_per_s=40, latency_s=5.0, chunks=100_000)

    plan = solve(profile().with_token_bytes(10_000), target, HARDWARE)

    dense = plan.stages["dense"]
    assert dense.shards == 1
    # 100,000 chunks of 2 kB, and of 10 kB of which a tenth is resident.
    assert dense.times.memory_gb == pytest.approx(0.5 + 0.2 + 0.1)
    assert dense.disk_gb == pytest.approx(1.2)
    # The database has 4 kB more per chunk.
    assert plan.disk_gb == pytest.approx(1.4 + 1.2 * dense.replicas)


def test_a_node_costs_what_its_resources_cost() -> None:
    prices = Prices(cpu_hour=0.1, memory_gib_hour=0.01, gpu_hour=2.0, disk_gib_month=0.5)
    node = NodeClass(cpus=4, memory_gb=2**30 / 1e9 * 10, gpus=1)
    classes = {
        "a": node,
        "b": node.model_copy(update={"gpu_hour": 1.0}),
        "c": node.model_copy(update={"price_per_hour": 9.0}),
    }

    hardware = Hardware(prices=prices, classes=classes)

    assert [hardware.price_per_hour(name) for name in classes] == pytest.approx([2.5, 1.5, 9.0])
    assert prices.disk_per_month(2**30 / 1e9) == pytest.approx(0.5)


def test_a_month_is_nodes_and_disk() -> None:
    plan = _plan()

    by_class = {placed.hardware: len(placed.nodes) for placed in plan.placed}
    assert plan.nodes_per_month == pytest.approx(730 * (by_class[CPU] * 1.0 + by_class[GPU] * 4.0))
    assert plan.price_per_month == pytest.approx(plan.nodes_per_month + plan.disk_gb * 1e9 / 2**30 * 0.10)
    assert plan.price_per_thousand == pytest.approx(plan.price_per_month / (730 * 40 * 3.6))


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
