"""A deployment file with a plan applied."""

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
    return {deployment["name"]: deployment for deployment in raw["applications"][0]["deployments"]}


def test_the_written_file_is_valid() -> None:
    plan = _plan()
    cluster = Machine(num_cpus=400, num_gpus=50)

    assert check(apply_plan(SHIPPED, plan), cluster) == []


def test_replicas_resources_and_classes_follow_the_plan() -> None:
    plan = _plan()

    reranker = _deployments(apply_plan(SHIPPED, plan))["Reranker"]

    planned = plan.stages["rerank"]
    assert reranker["autoscaling_config"]["min_replicas"] == planned.replicas
    assert reranker["ray_actor_options"]["num_cpus"] == planned.num_cpus
    assert reranker["ray_actor_options"]["label_selector"] == {"ragserve/class": planned.hardware}
    assert reranker["user_config"]["model"] == "late-interaction"


def test_the_dense_search_is_sharded() -> None:
    growth = Growth(kind="log", at_chunks=1_000, per_item_s=0.0001)
    large = BatchTimes(per_item_s=0.001, max_batch=8, growth=growth, bytes_per_chunk=80_000)

    raw = apply_plan(SHIPPED, _plan(dense={CPU: large}))

    # 80 GB on nodes with 31.5 GB free.
    assert raw["applications"][0]["args"]["search"]["dense_shards"] == 3
    assert {"DenseSearcher", "DenseSearcher-1", "DenseSearcher-2"} <= set(_deployments(raw))
    assert check(raw) == []


def test_the_keyword_search_is_sharded() -> None:
    growth = Growth(kind="log", at_chunks=1_000, per_item_s=0.0001)
    large = BatchTimes(per_item_s=0.001, max_batch=8, growth=growth, bytes_per_chunk=80_000)
    plan = _plan(lexical={CPU: large})

    raw = apply_plan(SHIPPED, plan)

    assert raw["applications"][0]["args"]["search"] == {"dense_shards": 1, "lexical_shards": 3}
    for name in ("LexicalSearcher", "LexicalSearcher-1", "LexicalSearcher-2"):
        # A batch has the messages of both rounds.
        assert _deployments(raw)[name]["user_config"]["max_batch_size"] == 2 * plan.stages["lexical"].batch
    assert check(raw) == []


def test_the_embedder_keeps_its_token_budget_for_documents() -> None:
    embedder = _deployments(apply_plan(SHIPPED, _plan()))["Embedder"]

    assert embedder["user_config"]["max_batch_tokens"] >= 2048


def test_an_ingress_admits_the_questions_it_can_answer_in_time() -> None:
    plan = _plan()

    raw = apply_plan(SHIPPED, plan)

    ingress = plan.stages["ingress"].replicas
    limit = _deployments(raw)["Ingress"]["user_config"]["admission"]["max_questions"]
    assert limit == max_questions(plan)
    assert plan.per_s * plan.target.latency_s <= limit * ingress < plan.per_s * plan.target.latency_s + ingress
    assert _deployments(raw)["Ingress"]["autoscaling_config"]["target_ongoing_requests"] == limit // 2


def test_the_input_is_not_changed() -> None:
    before = str(SHIPPED)

    apply_plan(SHIPPED, _plan())

    assert str(SHIPPED) == before
