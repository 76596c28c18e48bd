"""The deployment file with a plan in it."""

from pathlib import Path
from typing import Any

from serve.cli.capacity.plan import Plan, Target
from serve.cli.capacity.profile import BatchTimes, Growth
from serve.cli.capacity.solve import solve
from serve.cli.plan.write import apply_plan, max_questions
from serve.config_file import Machine, check, read
from tests.serve.cli.capacity.profiles import CPU, HARDWARE, profile

SHIPPED = read(Path(__file__).parents[4] / "serve_config.yaml")


def _plan(**changed: object) -> Plan:
    return solve(profile(**changed), Target(queries_per_s=40, latency_s=5.0, chunks=1_000_000), HARDWARE)


def _deployments(raw: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in raw["applications"][0]["deployments"]}


def test_the_written_file_passes_the_check() -> None:
    plan = _plan()
    whole = Machine(num_cpus=400, num_gpus=50)

    assert check(apply_plan(SHIPPED, plan), whole) == []


def test_replicas_shares_and_classes_are_the_plans() -> None:
    plan = _plan()

    reranker = _deployments(apply_plan(SHIPPED, plan))["Reranker"]

    planned = plan.stages["rerank"]
    assert reranker["autoscaling_config"]["min_replicas"] == planned.replicas
    assert reranker["ray_actor_options"]["num_cpus"] == planned.num_cpus
    assert reranker["ray_actor_options"]["label_selector"] == {"ragserve/class": planned.hardware}
    assert reranker["user_config"]["model"] == "late-interaction"


def test_the_dense_search_is_spread() -> None:
    growth = Growth(kind="log", at_chunks=1_000, per_item_s=0.0001)
    large = BatchTimes(per_item_s=0.001, max_batch=8, growth=growth, bytes_per_chunk=80_000)

    raw = apply_plan(SHIPPED, _plan(dense={CPU: large}))

    # 80 GB in nodes with 31.5 GB of room.
    assert raw["applications"][0]["args"]["search"]["dense_shards"] == 3
    assert {"DenseSearcher", "DenseSearcher-1", "DenseSearcher-2"} <= set(_deployments(raw))
    assert check(raw) == []


def test_documents_keep_the_tokens_of_their_passes() -> None:
    embedder = _deployments(apply_plan(SHIPPED, _plan()))["Embedder"]

    assert embedder["user_config"]["max_batch_tokens"] >= 2048


def test_an_ingress_takes_on_what_can_be_answered_in_time() -> None:
    plan = _plan()

    raw = apply_plan(SHIPPED, plan)

    ingress = plan.stages["ingress"].replicas
    most = raw["applications"][0]["args"]["admission"]["max_questions"]
    assert most == max_questions(plan)
    assert plan.per_s * plan.target.latency_s <= most * ingress < plan.per_s * plan.target.latency_s + ingress
    assert _deployments(raw)["Ingress"]["autoscaling_config"]["target_ongoing_requests"] == most // 2


def test_the_file_that_was_read_stays_as_it_is() -> None:
    before = str(SHIPPED)

    apply_plan(SHIPPED, _plan())

    assert str(SHIPPED) == before
