"""`ragserve kubernetes render` with varied inputs: manifests pass the checker, invalid inputs are refused."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors.configuration import ConfigError
from serve.cli.kubernetes.groups import Replica, num_pods
from serve.cli.kubernetes.render import TEMPLATE_FILE, render
from serve.cli.kubernetes.values import HardwareClass
from serve.config_file import read, settings_of
from tests.kuberay.conftest import KUBERAY, ROOT, base_text, deployments_of, groups_of, serve_config_of, service_of

Raw = dict[str, Any]


@pytest.fixture
def raw() -> Raw:
    return copy.deepcopy(read(ROOT / "serve_config.yaml"))


@pytest.fixture
def rendered(raw: Raw, tmp_path: Path) -> Callable[..., str]:
    """Renders generated.yaml from `raw`, which a test may change, with `values` over those of an overlay."""

    def make(values: Raw | None = None, overlay: str = "cpu") -> str:
        (tmp_path / "serve_config.yaml").write_text(yaml.safe_dump(raw))
        merged = {"extends": str(KUBERAY / "overlays" / overlay)} | (values or {})
        (tmp_path / "values.yaml").write_text(yaml.safe_dump(merged))
        return render(tmp_path / "serve_config.yaml", tmp_path, KUBERAY / TEMPLATE_FILE)

    return make


def stage(raw: Raw, name: str) -> Raw:
    deployment: Raw = next(each for each in raw["applications"][0]["deployments"] if each["name"] == name)
    return deployment


def scaled(name: str, minimum: int, maximum: int) -> Raw:
    return {"deployments": {name: {"autoscaling_config": {"min_replicas": minimum, "max_replicas": maximum}}}}


def of_class(name: str, **fields: Any) -> Raw:
    return {"classes": {name: fields}}


VARIANTS: dict[str, tuple[str, Raw]] = {
    "more replicas": ("cpu", scaled("Embedder", 10, 100)),
    "fewer replicas": ("cpu", scaled("LexicalSearcher", 1, 1)),
    "from zero": ("gpu", scaled("Generator", 0, 7)),
    "more ingress replicas than CPUs": ("gpu", scaled("Ingress", 3, 30)),
    "bigger pods": ("gpu", of_class("embedding", cpus=32, memory="256Gi", gpus=4)),
    "another model": ("gpu", {"deployments": {"Generator": {"user_config": {"model": "qwen3-1.7b"}}}}),
    "a GPU in quarters": ("gpu", {"deployments": {"Reranker": {"ray_actor_options": {"num_gpus": 0.25}}}}),
    "an LLM over two GPUs": (
        "gpu",
        of_class("generation", gpus=2) | {"deployments": {"Generator": {"ray_actor_options": {"num_gpus": 2}}}},
    ),
    "more shards": ("cpu", {"args": {"search": {"dense_shards": 5, "lexical_shards": 4}}}),
    "memory as a resource": ("cpu", {"deployments": {"Parser": {"ray_actor_options": {"memory": 5e9}}}}),
    "one class for all": (
        "cpu",
        {"classes": {"cpu": {"stages": []}, "embedding": None, "generation": None}},
    ),
    "Milvus at another address": ("milvus", {"args": {"storage": {"milvus": {"uri": "http://10.0.0.7:19530"}}}}),
    "more time for a question": ("cpu", {"args": {"query": {"total_s": 110}}}),
    "backups": ("cpu", {"backup_schedule": "15 3 * * *", "args": {"backups": {"url": "s3://backups/ragserve"}}}),
    "a node selector": ("gpu", of_class("generation", node_selector={"pool": "h100"})),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_of_the_values_passes_the_checker(
    name: str, rendered: Callable[..., str], problems: Callable[..., list[str]]
) -> None:
    overlay, values = VARIANTS[name]

    assert problems(base_text() + "\n---\n" + rendered(values, overlay)) == []


def test_a_variant_of_the_deployment_file_passes_the_checker(
    raw: Raw, rendered: Callable[..., str], problems: Callable[..., list[str]]
) -> None:
    application = raw["applications"][0]
    application["args"]["search"] = {"dense_shards": 3}
    application["deployments"] += [
        copy.deepcopy(stage(raw, "DenseSearcher")) | {"name": f"DenseSearcher-{n}"} for n in (1, 2)
    ]
    stage(raw, "Reranker")["user_config"]["model"] = "ms-marco-minilm"
    stage(raw, "Embedder")["max_queued_requests"] = 9
    raw["http_options"] = {"host": "::1", "port": 9999, "request_timeout_s": 300.5}

    text = rendered()

    stages = deployments_of(service_of(text))
    assert problems(base_text() + "\n---\n" + text) == []
    assert stages["Reranker"]["user_config"]["model"] == "ms-marco-minilm"
    assert stages["Embedder"]["max_queued_requests"] == 9
    assert stages["DenseSearcher-2"]["ray_actor_options"]["label_selector"] == {"ragserve/class": "cpu"}
    assert stages["DenseSearcher-2"]["autoscaling_config"]["max_replicas"] == 6
    options = serve_config_of(service_of(text))["http_options"]
    assert options == {"host": "0.0.0.0", "port": 8000, "request_timeout_s": 300.5}
    # 30 s until every HAProxy has removed it, 301 s for the request, 10 s of margin.
    assert stages["Ingress"]["graceful_shutdown_timeout_s"] == 341


def test_args_of_the_values_win_over_the_user_config_of_the_file(rendered: Callable[..., str]) -> None:
    stages = deployments_of(service_of(rendered({"args": {"retrieval": {"candidates": 70}}})))

    assert stages["Ingress"]["user_config"]["retrieval"] == {"candidates": 70, "rerank_candidates": 30}


def test_a_schedule_makes_a_cron_job_of_backups(rendered: Callable[..., str]) -> None:
    text = rendered({"backup_schedule": "15 3 * * *", "args": {"backups": {"url": "s3://backups/x", "keep_daily": 30}}})

    documents = {each["kind"]: each for each in yaml.safe_load_all(text)}
    job = documents["CronJob"]["spec"]
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    labels = job["jobTemplate"]["spec"]["template"]["metadata"]["labels"]  # the NetworkPolicy `stores` selects them
    settings = settings_of(yaml.safe_load(documents["ConfigMap"]["data"]["serve_config.yaml"]))
    assert (job["schedule"], job["concurrencyPolicy"]) == ("15 3 * * *", "Forbid")
    assert container["command"][:3] == ["ragserve", "backups", "create"]
    assert {each["name"] for each in container["env"]} >= {"RAGSERVE_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"}
    assert {each["mountPath"] for each in container["volumeMounts"]} >= {"/data", "/tmp", "/etc/ragserve/backup"}
    assert labels == {"app.kubernetes.io/part-of": "ragserve", "app.kubernetes.io/name": "ragserve-backup"}
    assert (settings.backups.url, settings.backups.keep_daily) == ("s3://backups/x", 30)


def test_traffic_between_pods_is_encrypted_where_the_values_say_so(
    rendered: Callable[..., str], problems: Callable[..., list[str]]
) -> None:
    text = rendered({"mtls": True})

    assert service_of(text)["spec"]["rayClusterConfig"]["tlsOptions"] == {"enabled": True}
    assert "tlsOptions" not in service_of(rendered())["spec"]["rayClusterConfig"]
    manifests = f"{base_text()}\n---\n{text}"
    assert problems(manifests, gates=frozenset({"RayClusterMTLS"})) == []
    assert any("RayClusterMTLS" in problem for problem in problems(manifests))


def test_each_shard_is_a_deployment(rendered: Callable[..., str]) -> None:
    service = service_of(rendered({"args": {"search": {"dense_shards": 3}}}))

    stages = deployments_of(service)

    assert [name for name in stages if name.startswith("Dense")] == [
        "DenseSearcher",
        "DenseSearcher-1",
        "DenseSearcher-2",
    ]
    # Minimum: 2 + 3 * 2 + 2 + 1 CPUs on pods of 4, so 3 pods. Maximum: 8 + 3 * 6 + 6 + 4 CPUs, so 9 pods and a spare.
    assert groups_of(service)["cpu"]["minReplicas"] == 3
    assert groups_of(service)["cpu"]["maxReplicas"] == 10


@pytest.mark.parametrize("searcher", ["DenseSearcher", "LexicalSearcher"])
def test_one_shard_can_have_other_values(searcher: str, rendered: Callable[..., str]) -> None:
    shards = {"args": {"search": {"dense_shards": 2, "lexical_shards": 2}}}
    usual = deployments_of(service_of(rendered()))[searcher]["autoscaling_config"]["max_replicas"]

    stages = deployments_of(service_of(rendered(shards | scaled(f"{searcher}-1", 3, 5))))

    assert usual != 5
    assert stages[searcher]["autoscaling_config"]["max_replicas"] == usual
    assert stages[f"{searcher}-1"]["autoscaling_config"]["max_replicas"] == 5


def test_shards_of_the_keyword_search_are_deployments_of_its_class(rendered: Callable[..., str]) -> None:
    text = rendered({"args": {"search": {"lexical_shards": 4}}})

    stages = deployments_of(service_of(text))
    names = ["LexicalSearcher", *(f"LexicalSearcher-{number}" for number in (1, 2, 3))]
    assert [name for name in stages if name.startswith("Lexical")] == names
    first, *copies = (stages[name] for name in names)
    assert all(each | {"name": first["name"]} == first for each in copies)
    assert first["ray_actor_options"]["label_selector"] == {"ragserve/class": "cpu"}


def test_a_stage_that_scales_to_zero_needs_no_pod(rendered: Callable[..., str]) -> None:
    text = rendered(scaled("Generator", 0, 2), "gpu")

    generation = groups_of(service_of(text))["generation"]
    assert (generation["replicas"], generation["minReplicas"], generation["maxReplicas"]) == (0, 0, 3)
    assert [
        document["spec"]["minAvailable"]
        for document in yaml.safe_load_all(text)
        if document["metadata"]["name"].endswith("generation")
    ] == [0]


def test_fractions_of_gpus_are_packed_as_ray_packs_them() -> None:
    hardware = HardwareClass(cpus=8, memory="64Gi", gpus=2)

    def pods(*gpus: float) -> int:
        return num_pods(hardware, [Replica("a", 0.5, fraction, 0, None) for fraction in gpus])

    assert pods() == 0
    assert pods(0.5, 0.5, 0.5, 0.5) == 1
    assert pods(0.6, 0.6, 0.6) == 2  # 1.8 GPUs together, but each fraction comes from one device
    assert pods(2, 1, 1) == 2
    assert pods(1, 0.5, 1) == 2


def test_max_replicas_per_node_is_respected() -> None:
    hardware = HardwareClass(cpus=8, memory="64Gi")

    assert num_pods(hardware, [Replica("a", 1, 0, 0, 2)] * 5) == 3


REFUSED: dict[str, tuple[str, Raw, str]] = {
    "an unknown deployment": ("cpu", {"deployments": {"Embeder": {}}}, "did you mean 'Embedder'"),
    "an unknown stage of a class": ("cpu", of_class("cpu", stages=["Ingres"]), "did you mean 'Ingress'"),
    "an unknown key": ("cpu", {"deployment": {}}, "did you mean 'deployments'"),
    "an unknown key of a class": ("cpu", of_class("cpu", cpu=3), "did you mean 'cpus'"),
    "an unknown key of a deployment": (
        "cpu",
        {"deployments": {"Embedder": {"max_ongoing_request": 1}}},
        "did you mean 'max_ongoing_requests'",
    ),
    "an unknown setting": ("cpu", {"args": {"retrieval": {"candidate": 1}}}, "did you mean 'candidates'"),
    "a setting out of range": ("cpu", {"args": {"search": {"dense_shards": 0}}}, "dense_shards"),
    "an unknown model": ("cpu", {"deployments": {"Generator": {"user_config": {"model": "qwen9"}}}}, "qwen9"),
    "a tokenizer of another model": (
        "cpu",
        {"deployments": {"Embedder": {"user_config": {"model": "granite-small"}}}},
        "set both to the same alias",
    ),
    "a missing class": ("cpu", {"default_class": "tpu"}, "no class 'tpu'"),
    "a stage in two classes": (
        "cpu",
        of_class("embedding", stages=["Embedder", "Reranker", "Parser"]),
        "more than one",
    ),
    "a stage without a GPU on a GPU": (
        "gpu",
        {"default_class": "generation"} | of_class("cpu", stages=["Ingress"]),
        "no GPU",
    ),
    "a model without a GPU on a GPU": (
        "gpu",
        {"deployments": {"Generator": {"ray_actor_options": {"num_gpus": 0}}}},
        "uses no GPU",
    ),
    "a GPU in a class without GPUs": (
        "cpu",
        {"deployments": {"Embedder": {"ray_actor_options": {"num_gpus": 1}}}},
        "1 GPUs",
    ),
    "a replica larger than its pod": ("cpu", of_class("generation", cpus=2), "needs 4 CPUs"),
    "a schedule without a place": ("cpu", {"backup_schedule": "15 3 * * *"}, "needs args.backups.url"),
    "two schedules": (
        "cpu",
        {"backup_schedule": "15 3 * * *", "args": {"backups": {"url": "s3://b/x", "every_s": 3600}}},
        "two schedules",
    ),
    "a schedule in words": ("cpu", {"backup_schedule": "daily"}, "backup_schedule"),
    "a password": ("cpu", {"args": {"storage": {"database_url": "postgresql://u:p@h/d"}}}, "in the Secret"),
    "a password of Redis": (
        "cpu",
        {"args": {"cache": {"redis_url": "redis://:p@h"}}},
        "args.cache.redis_url: may contain",
    ),
    "a secret of a webhook": (
        "cpu",
        {"args": {"events": {"webhook": {"url": "https://h", "secret": "whsec_"}}}},
        "args.events.webhook.secret: may contain",
    ),
    "a section that is none": ("cpu", {"args": {"storage": "/data"}}, "args.storage: Input should be a valid dict"),
    "another one": ("cpu", {"args": {"api": 5}}, "args.api: Input should be a valid dict"),
    "a file of keys on this machine": (
        "cpu",
        {"args": {"api": {"keys_file": "keys.yaml"}}},
        "must be a path in the pods",
    ),
    "quoted CPUs": ("cpu", {"classes": {"cpu": {"cpus": "4"}}}, "classes.cpu.cpus: Input should be a valid integer"),
    "pods without an end": ("cpu", {"classes": {"cpu": {"spare_pods": 10**9}}}, "spare_pods: Input should be less"),
    "a folder in the image": ("cpu", {"args": {"storage": {"data_dir": "data"}}}, "path of a volume"),
    "a catalog of this machine": ("cpu", {"args": {"catalog": "/home/me/catalog.yaml"}}, "in values.yaml"),
    "shards of Milvus": ("milvus", {"args": {"search": {"dense_shards": 2}}}, "must be 1 with Milvus"),
    "shards of Milvus' words": ("milvus", {"args": {"search": {"lexical_shards": 2}}}, "must be 1 with Milvus"),
    "an unknown base": ("nowhere", {}, "cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_input_is_refused(name: str, rendered: Callable[..., str]) -> None:
    overlay, values, reason = REFUSED[name]

    with pytest.raises(ConfigError, match=reason):
        rendered(values, overlay)


def test_a_service_without_request_timeout_is_refused(raw: Raw, rendered: Callable[..., str]) -> None:
    del raw["http_options"]["request_timeout_s"]

    with pytest.raises(ConfigError, match="request_timeout_s"):
        rendered()


def test_an_invalid_deployment_file_is_refused(raw: Raw, rendered: Callable[..., str]) -> None:
    raw["applications"][0]["deployments"].append({"name": "Summarizer"})

    with pytest.raises(ConfigError, match="no deployment named 'Summarizer'"):
        rendered()


def test_values_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    for name, parent in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "values.yaml").write_text(f"extends: ../{parent}\n")

    with pytest.raises(ConfigError, match="extends itself"):
        render(ROOT / "serve_config.yaml", tmp_path / "a", KUBERAY / TEMPLATE_FILE)


def test_a_catalog_beside_the_values_is_mounted(tmp_path: Path, rendered: Callable[..., str]) -> None:
    entry = {"kind": "hashing", "licence": "none", "options": {"dim": 64}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"embedding": {"custom": entry}}))
    models = {"Embedder": {"user_config": {"model": "custom"}}, "Parser": {"user_config": {"tokenizer": "custom"}}}

    service = service_of(rendered({"catalog": "models.yaml", "deployments": models}))

    mounts = groups_of(service)["cpu"]["template"]["spec"]["containers"][0]["volumeMounts"]
    catalog = serve_config_of(service)["applications"][0]["args"]["catalog"]
    assert catalog.rpartition("/")[0] in [mount["mountPath"] for mount in mounts]
    assert deployments_of(service)["Embedder"]["user_config"]["model"] == "custom"
