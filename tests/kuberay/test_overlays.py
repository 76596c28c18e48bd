"""The overlays as they are committed: up to date, accepted by the checker, and consistent with themselves."""

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
    # Its catalog has engine arguments, and to check those vLLM is imported.
    [pytest.param(name, marks=[pytest.mark.slow] if name == "gpu-tight" else []) for name in OVERLAYS],
)
def test_what_is_committed_is_what_the_inputs_give(name: str) -> None:
    text = render(ROOT / "serve_config.yaml", folder(name), KUBERAY / TEMPLATE_FILE)

    assert (folder(name) / GENERATED_FILE).read_text() == text


@overlays
@pytest.mark.parametrize("minor", ["1.32", "1.34", "1.36"])
def test_the_checker_has_no_word_against_it(name: str, minor: str, problems: Callable[..., list[str]]) -> None:
    assert problems(kustomize(folder(name)), minor) == []


def test_check_finds_a_file_that_was_edited_by_hand(tmp_path: Path) -> None:
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
        matching = [one for one in groups.values() if selector.items() <= one["labels"].items()]
        assert len(matching) == 1, stage["name"]


@overlays
def test_models_with_a_gpu_are_on_pods_that_have_one_and_the_rest_are_not(name: str) -> None:
    groups = groups_of(committed(name))

    for stage in deployments_of(committed(name)).values():
        group = groups[stage["ray_actor_options"]["label_selector"][CLASS_LABEL]]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limits) == bool(stage["ray_actor_options"]["num_gpus"]), stage["name"]


def test_the_tight_overlay_puts_every_model_on_one_gpu() -> None:
    stages, groups = deployments_of(committed("gpu-tight")), groups_of(committed("gpu-tight"))
    shares = [one["ray_actor_options"]["num_gpus"] for one in stages.values()]

    assert sum(shares) == pytest.approx(1)
    assert groups["gpu"]["maxReplicas"] == 1
    assert [one for one in groups if "gpu" in one] == ["gpu"]


@overlays
def test_the_periods_of_shutting_down_fit_into_each_other(name: str) -> None:
    """As in serve/cli/kubernetes/drain.py: 60 s for a question, 120 s for any request."""
    service = committed(name)
    config, stages = serve_config_of(service), deployments_of(service)
    request_s, question_s = (
        config["http_options"]["request_timeout_s"],
        config["applications"][0]["args"]["query"]["total_s"],
    )
    graceful = {one: stage["graceful_shutdown_timeout_s"] for one, stage in stages.items()}

    for pod, group in zip(pods(service)[1:], groups_of(service).values(), strict=True):
        values = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
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
        values = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
        assert expected.items() <= values.items()
    assert committed(name)["spec"]["rayClusterConfig"]["authOptions"] == {"mode": environment.SETTINGS["RAY_AUTH_MODE"]}


def test_the_image_and_the_manifests_have_the_ray_of_the_lock() -> None:
    locked = (ROOT / "requirements" / "cpu.txt").read_text()

    for name in OVERLAYS:
        assert f"\nray=={committed(name)['spec']['rayClusterConfig']['rayVersion']}\n" in locked


@overlays
def test_ray_pods_are_guaranteed_their_resources_and_have_no_rights(name: str) -> None:
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
def test_a_disruption_budget_leaves_a_node_drain_something_to_evict(name: str) -> None:
    documents = list(yaml.safe_load_all((folder(name) / GENERATED_FILE).read_text()))
    budgets = {one["spec"]["selector"]["matchLabels"][CLASS_LABEL]: one for one in documents[1:]}

    for group in groups_of(committed(name)).values():
        # A whole number: Kubernetes knows no scale of a RayCluster to take a share or a complement of.
        budget = budgets[group["groupName"]]["spec"]
        assert budget["minAvailable"] == max(0, group["minReplicas"] - 1)
        assert "maxUnavailable" not in budget


def test_no_secret_is_in_the_manifests_and_the_script_makes_each_that_they_name(tmp_path: Path) -> None:
    url, key = "postgresql+psycopg://user:password@postgres:5432/ragserve", "a key"
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "API_KEY": key, "TENANT": "acme", "HF_TOKEN": "t"}
    printed = subprocess.run(
        [KUBERAY / "make-secrets.sh"], env=env | {"MILVUS_TOKEN": "m"}, capture_output=True, text=True, check=True
    )
    made = {(one["metadata"]["name"], key) for one in yaml.safe_load_all(printed.stdout) if one for key in one["data"]}
    declared = list(yaml.safe_load_all((KUBERAY / "base" / "secrets.yaml").read_text()))

    assert {name for name, _ in made} == {one["metadata"]["name"] for one in declared}
    assert all("data" not in one and "stringData" not in one for one in declared)
    redis = (KUBERAY / "base" / "redis.yaml").read_text()
    texts = [redis, *((folder(name) / GENERATED_FILE).read_text() for name in OVERLAYS)]
    references = {pair for text in texts for document in yaml.safe_load_all(text) for pair in secret_keys(document)}
    assert references <= made
    # One key of each Secret is enough to read the keys file back.
    keys = next(one for one in yaml.safe_load_all(printed.stdout) if one and "keys.yaml" in one["data"])
    (tmp_path / "keys.yaml").write_bytes(yaml.safe_load(f"!!binary {keys['data']['keys.yaml']}"))
    assert read_keys(tmp_path / "keys.yaml") == {hashlib.sha256(key.encode()).hexdigest(): "acme"}


def secret_keys(value: Any) -> Iterator[tuple[str, str]]:
    """Every secretKeyRef inside, as (name, key)."""
    if isinstance(value, list):
        for item in value:
            yield from secret_keys(item)
    elif isinstance(value, dict):
        reference = value.get("secretKeyRef")
        if isinstance(reference, dict):
            yield reference["name"], reference["key"]
        for item in value.values():
            yield from secret_keys(item)


def test_nothing_comes_in_or_goes_out_unless_a_policy_says_so() -> None:
    policies = {
        one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all((KUBERAY / "base/network.yaml").read_text())
    }

    assert policies["default-deny"]["podSelector"] == {}
    assert policies["default-deny"]["policyTypes"] == ["Ingress", "Egress"]
    open_to_all = [name for name, one in policies.items() for rule in one.get("ingress", []) if not rule.get("from")]
    assert open_to_all == []


@overlays
def test_prometheus_may_reach_every_port_that_is_scraped(name: str) -> None:
    monitors = yaml.safe_load_all((KUBERAY / "base" / "monitoring.yaml").read_text())
    scraped = {one["port"] for monitor in monitors for one in monitor["spec"]["podMetricsEndpoints"]}
    numbers = {
        one["name"]: one["containerPort"] for pod in pods(committed(name)) for one in pod["containers"][0]["ports"]
    }
    policies = yaml.safe_load_all((KUBERAY / "base" / "network.yaml").read_text())
    allowed = next(one for one in policies if one["metadata"]["name"] == "monitoring")["spec"]["ingress"][0]["ports"]

    assert {numbers[port] for port in scraped} == {one["port"] for one in allowed}
