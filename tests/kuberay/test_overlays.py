"""The committed overlays: up to date, accepted by the checker, and consistent."""

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deployments.cluster import environment
from serve.access.keys import read_keys
from serve.cli.kubernetes.render import CLASS_LABEL, GENERATED_FILE, TEMPLATE_FILE, render
from serve.cli.main import app
from tests.kuberay.conftest import KUBERAY, ROOT, deployments_of, groups_of, kustomize, serve_config_of, service_of

OVERLAYS = ["cpu", "gpu", "gpu-tight", "milvus"]
overlays = pytest.mark.parametrize("name", OVERLAYS)


def folder(name: str) -> Path:
    return KUBERAY / "overlays" / name


def committed(name: str) -> dict[str, Any]:
    return service_of((folder(name) / GENERATED_FILE).read_text())


def pods(service: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = service["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_every_overlay_is_tested() -> None:
    assert sorted(path.name for path in (KUBERAY / "overlays").iterdir()) == OVERLAYS


@pytest.mark.parametrize(
    "name",
    # Its catalog has engine arguments; checking them imports vLLM.
    [pytest.param(name, marks=[pytest.mark.slow] if name == "gpu-tight" else []) for name in OVERLAYS],
)
def test_committed_manifests_are_up_to_date(name: str) -> None:
    text = render(ROOT / "serve_config.yaml", folder(name), KUBERAY / TEMPLATE_FILE)

    assert (folder(name) / GENERATED_FILE).read_text() == text


@overlays
@pytest.mark.parametrize("minor", ["1.32", "1.34", "1.36"])
def test_the_checker_accepts_every_overlay(name: str, minor: str, problems: Callable[..., list[str]]) -> None:
    assert problems(kustomize(folder(name)), minor) == []


def test_check_finds_a_manually_edited_file(tmp_path: Path) -> None:
    overlay = tmp_path / "edited"
    overlay.mkdir()
    (overlay / "values.yaml").write_text((folder("cpu") / "values.yaml").read_text())
    arguments = ["kubernetes", "render", str(overlay), "--config", str(ROOT / "serve_config.yaml")]
    arguments += ["--folder", str(KUBERAY)]
    written = CliRunner().invoke(app, arguments)
    clean = CliRunner().invoke(app, [*arguments, "--check"])
    generated = overlay / GENERATED_FILE
    generated.write_text(generated.read_text().replace("max_replicas: 8", "max_replicas: 9"))

    edited = CliRunner().invoke(app, [*arguments, "--check"])

    assert (written.exit_code, clean.exit_code, edited.exit_code) == (0, 0, 2)
    assert "max_replicas: 9" in generated.read_text()


@overlays
def test_every_stage_selects_one_group(name: str) -> None:
    groups = groups_of(committed(name))

    for stage in deployments_of(committed(name)).values():
        selector = stage["ray_actor_options"]["label_selector"]
        matching = [group for group in groups.values() if selector.items() <= group["labels"].items()]
        assert len(matching) == 1, stage["name"]


@overlays
def test_only_stages_with_a_gpu_are_on_pods_with_a_gpu(name: str) -> None:
    groups = groups_of(committed(name))

    for stage in deployments_of(committed(name)).values():
        group = groups[stage["ray_actor_options"]["label_selector"][CLASS_LABEL]]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == bool(stage["ray_actor_options"]["num_gpus"]), stage["name"]


def test_the_tight_overlay_puts_every_model_on_one_gpu() -> None:
    stages, groups = deployments_of(committed("gpu-tight")), groups_of(committed("gpu-tight"))
    num_gpus = [stage["ray_actor_options"]["num_gpus"] for stage in stages.values()]

    assert sum(num_gpus) == pytest.approx(1)
    assert groups["gpu"]["maxReplicas"] == 1
    assert [group for group in groups if "gpu" in group] == ["gpu"]


@overlays
def test_each_shutdown_period_contains_the_inner_ones(name: str) -> None:
    """See serve/cli/kubernetes/drain.py: 60 s for a question, 120 s for any request."""
    service = committed(name)
    config, stages = serve_config_of(service), deployments_of(service)
    request_s, question_s = (
        config["http_options"]["request_timeout_s"],
        stages["Ingress"]["user_config"]["query"]["total_s"],
    )
    graceful = {stage_name: stage["graceful_shutdown_timeout_s"] for stage_name, stage in stages.items()}

    for pod, group in zip(pods(service)[1:], groups_of(service).values(), strict=True):
        values = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
        deregister_s = float(values["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"])
        drain_s = float(values["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        pre_stop_s = float(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1].removeprefix("sleep "))
        assert all(period > question_s for period in graceful.values())
        assert graceful["Ingress"] > deregister_s + request_s
        assert float(values["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > request_s
        assert drain_s > max(graceful.values())
        assert pod["terminationGracePeriodSeconds"] > pre_stop_s + drain_s, group["groupName"]
    assert service["spec"]["rayClusterDeletionDelaySeconds"] >= graceful["Ingress"]


@overlays
def test_every_pod_has_the_environment_of_a_local_service(name: str) -> None:
    # KubeRay sets RAY_AUTH_MODE, from authOptions.
    expected = {key: value for key, value in environment.SETTINGS.items() if key != "RAY_AUTH_MODE"}

    for pod in pods(committed(name)):
        values = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
        assert expected.items() <= values.items()
    assert committed(name)["spec"]["rayClusterConfig"]["authOptions"] == {"mode": environment.SETTINGS["RAY_AUTH_MODE"]}


def test_the_manifests_use_the_locked_ray_version() -> None:
    locked = (ROOT / "requirements" / "cpu.txt").read_text()

    for name in OVERLAYS:
        assert f"\nray=={committed(name)['spec']['rayClusterConfig']['rayVersion']}\n" in locked


@overlays
def test_ray_pods_have_guaranteed_resources_and_no_privileges(name: str) -> None:
    cluster = committed(name)["spec"]["rayClusterConfig"]
    containers = [container for pod in pods(committed(name)) for container in pod["containers"]]

    for container in [*containers, cluster["autoscalerOptions"]]:
        assert container["resources"]["requests"] == container["resources"]["limits"]
        security = container["securityContext"]
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
    for pod in pods(committed(name)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@overlays
def test_a_disruption_budget_lets_a_node_drain_evict_a_pod(name: str) -> None:
    documents = list(yaml.safe_load_all((folder(name) / GENERATED_FILE).read_text()))
    budgets = {document["spec"]["selector"]["matchLabels"][CLASS_LABEL]: document for document in documents[1:]}

    for group in groups_of(committed(name)).values():
        # A RayCluster has no scale subresource, so Kubernetes supports neither percentages nor maxUnavailable.
        budget = budgets[group["groupName"]]["spec"]
        assert budget["minAvailable"] == max(0, group["minReplicas"] - 1)
        assert "maxUnavailable" not in budget


def test_manifests_contain_no_secrets_and_the_script_creates_the_referenced_ones(tmp_path: Path) -> None:
    url, key = "postgresql+psycopg://user:password@postgres:5432/ragserve", "a key"
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "API_KEY": key, "TENANT": "acme", "HF_TOKEN": "t"}
    tokens = {"MILVUS_TOKEN": "m", "WEBHOOK_SECRET": "whsec_w", "KAFKA_PASSWORD": "k", "REDIS_URL": "redis://h"}
    tokens |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    printed = subprocess.run(
        [KUBERAY / "make-secrets.sh"], env=env | tokens, capture_output=True, text=True, check=True
    )
    created = {
        (secret["metadata"]["name"], key)
        for secret in yaml.safe_load_all(printed.stdout)
        if secret
        for key in secret["data"]
    }
    declared = list(yaml.safe_load_all((KUBERAY / "base" / "secrets.yaml").read_text()))

    assert {name for name, _ in created} == {secret["metadata"]["name"] for secret in declared}
    assert all("data" not in secret and "stringData" not in secret for secret in declared)
    redis = (KUBERAY / "base" / "redis.yaml").read_text()
    texts = [redis, *((folder(name) / GENERATED_FILE).read_text() for name in OVERLAYS)]
    references = {pair for text in texts for document in yaml.safe_load_all(text) for pair in secret_keys(document)}
    assert references <= created
    keys = next(secret for secret in yaml.safe_load_all(printed.stdout) if secret and "keys.yaml" in secret["data"])
    (tmp_path / "keys.yaml").write_bytes(yaml.safe_load(f"!!binary {keys['data']['keys.yaml']}"))
    assert read_keys(tmp_path / "keys.yaml") == {hashlib.sha256(key.encode()).hexdigest(): "acme"}


def secret_keys(value: Any) -> Iterator[tuple[str, str]]:
    """Every secretKeyRef in a document, as (name, key)."""
    if isinstance(value, list):
        for item in value:
            yield from secret_keys(item)
    elif isinstance(value, dict):
        reference = value.get("secretKeyRef")
        if isinstance(reference, dict):
            yield reference["name"], reference["key"]
        for item in value.values():
            yield from secret_keys(item)


def test_network_policies_deny_by_default() -> None:
    policies = {
        policy["metadata"]["name"]: policy["spec"]
        for policy in yaml.safe_load_all((KUBERAY / "base/network.yaml").read_text())
    }

    assert policies["default-deny"]["podSelector"] == {}
    assert policies["default-deny"]["policyTypes"] == ["Ingress", "Egress"]
    open_to_all = [name for name, spec in policies.items() for rule in spec.get("ingress", []) if not rule.get("from")]
    assert open_to_all == []


@overlays
def test_prometheus_can_reach_every_scraped_port(name: str) -> None:
    monitors = yaml.safe_load_all((KUBERAY / "monitoring" / "monitors.yaml").read_text())
    scraped = {endpoint["port"] for monitor in monitors for endpoint in monitor["spec"]["podMetricsEndpoints"]}
    numbers = {
        port["name"]: port["containerPort"] for pod in pods(committed(name)) for port in pod["containers"][0]["ports"]
    }
    policies = yaml.safe_load_all((KUBERAY / "base" / "network.yaml").read_text())
    allowed = next(policy for policy in policies if policy["metadata"]["name"] == "monitoring")["spec"]["ingress"][0][
        "ports"
    ]

    assert {numbers[port] for port in scraped} == {rule["port"] for rule in allowed}
