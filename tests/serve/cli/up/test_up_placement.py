"""Where `ragserve up` runs the searchers, and the threads of the embedder."""

import copy
from typing import Any

import pytest

from serve.cli.up.placement import give_threads, place_searchers
from serve.config_file import check, read
from tests.conftest import ROOT

SHIPPED = read(ROOT / "serve_config.yaml")
SEARCHERS = ("DenseSearcher", "LexicalSearcher")


@pytest.fixture
def raw() -> dict[str, Any]:
    return copy.deepcopy(SHIPPED)


def deployment(raw: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in raw["applications"][0]["deployments"] if entry["name"] == name)


def test_a_small_machine_runs_the_searchers_of_the_shipped_file_in_the_ingress(raw: dict[str, Any]) -> None:
    user_configs = {name: deployment(raw, name)["user_config"] for name in SEARCHERS}

    assert place_searchers(raw, num_cpus=2) == SEARCHERS

    assert raw["applications"][0]["args"]["inline"] == user_configs
    assert check(raw) == []


def test_a_larger_machine_gets_the_file_as_it_is(raw: dict[str, Any]) -> None:
    assert place_searchers(raw, num_cpus=8) == ()
    assert raw["applications"][0]["deployments"] == SHIPPED["applications"][0]["deployments"]


@pytest.mark.parametrize(
    "change",
    [
        {"autoscaling_config": {"min_replicas": 1, "max_replicas": 2}},
        {"ray_actor_options": {"num_cpus": 0.25, "num_gpus": 0.5}},
    ],
    ids=["several replicas", "a GPU"],
)
def test_a_searcher_that_scales_or_has_a_gpu_stays(raw: dict[str, Any], change: dict[str, Any]) -> None:
    deployment(raw, "DenseSearcher").update(change)
    assert place_searchers(raw, num_cpus=2) == ("LexicalSearcher",)


def test_shards_stay(raw: dict[str, Any]) -> None:
    second = deployment(raw, "DenseSearcher") | {"name": "DenseSearcher-1"}
    raw["applications"][0]["deployments"].append(second)
    raw["applications"][0]["args"]["search"] = {"dense_shards": 2}

    assert place_searchers(raw, num_cpus=2) == ("LexicalSearcher",)
    assert check(raw) == []


def test_with_milvus_both_stay(raw: dict[str, Any]) -> None:
    raw["applications"][0]["args"]["storage"]["milvus"] = {"uri": "http://127.0.0.1:19530"}
    assert place_searchers(raw, num_cpus=2) == ()


def test_a_stage_that_is_inline_already_keeps_its_place(raw: dict[str, Any]) -> None:
    application = raw["applications"][0]
    application["args"]["inline"] = {"Reranker": {}}
    application["deployments"] = [entry for entry in application["deployments"] if entry["name"] != "Reranker"]

    place_searchers(raw, num_cpus=2)

    assert set(application["args"]["inline"]) == {"Reranker", *SEARCHERS}
    assert check(raw) == []


def threads_of(raw: dict[str, Any]) -> str | None:
    runtime_env = deployment(raw, "Embedder")["ray_actor_options"].get("runtime_env", {})
    return runtime_env.get("env_vars", {}).get("OMP_NUM_THREADS")


@pytest.mark.parametrize(("num_cpus", "threads"), [(1, "1"), (2, "2"), (4, "4"), (8, None)])
def test_the_embedder_may_use_every_core_of_a_small_machine(
    raw: dict[str, Any], num_cpus: int, threads: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    give_threads(raw, num_cpus)

    assert threads_of(raw) == threads
    assert check(raw) == []


def test_threads_that_somebody_chose_stay(raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    deployment(raw, "Embedder")["ray_actor_options"]["runtime_env"] = {"env_vars": {"OMP_NUM_THREADS": "1"}}

    give_threads(raw, 2)

    assert threads_of(raw) == "1"


def test_threads_of_the_environment_stay(raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    give_threads(raw, 2)

    assert threads_of(raw) is None
