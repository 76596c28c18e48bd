"""The Helm chart by Helm itself. RAGSERVE_HELM names the program, if it is not in PATH."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.cli.kubernetes.chart import chart_of
from tests.kuberay.conftest import KUBERAY, kustomize

OVERLAYS = KUBERAY / "overlays"
TIMEOUT_S = 300
Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Resources = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    program = os.environ.get("RAGSERVE_HELM") or shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed; RAGSERVE_HELM may name it")
    home = str(tmp_path_factory.mktemp("helm"))  # no plugins and no configuration of this machine
    environment = {"HOME": home, "PATH": os.environ["PATH"]}

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False
        )

    return call


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    @cache
    def write(overlay: str) -> str:
        folder = tmp_path_factory.mktemp("chart")
        for name, text in chart_of(OVERLAYS / overlay, "1.2.3").items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        return str(folder)

    return write


def resources(text: str) -> Resources:
    """By kind and name, without the namespace, which Helm takes from its command line."""
    loaded: Resources = {}
    for document in yaml.safe_load_all(text):
        if document:
            document["metadata"].pop("namespace", None)
            loaded[document["kind"], document["metadata"]["name"]] = document
    return loaded


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "milvus"])
def test_it_is_linted_and_checked(
    overlay: str, helm: Helm, chart: Callable[[str], str], problems: Callable[..., list[str]]
) -> None:
    lint = helm("lint", "--strict", chart(overlay))
    rendered = helm("template", "ragserve", chart(overlay))

    assert lint.returncode == 0, lint.stdout
    assert problems(rendered.stdout) == []


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "milvus"])
def test_it_renders_what_kustomize_applies(overlay: str, helm: Helm, chart: Callable[[str], str]) -> None:
    rendered = helm("template", "ragserve", chart(overlay), "--set-string", "image.tag=0.1.0")

    expected = resources(kustomize(OVERLAYS / overlay))
    del expected["Namespace", "ragserve"]
    assert resources(rendered.stdout) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [("secrets", "Secret"), ("priorityClasses", "PriorityClass")],
)
def test_a_resource_can_be_left_out(value: str, kind: str, helm: Helm, chart: Callable[[str], str]) -> None:
    everything = resources(helm("template", "ragserve", chart("cpu")).stdout)

    fewer = resources(helm("template", "ragserve", chart("cpu"), "--set", f"{value}.create=false").stdout)

    assert {key for key in everything if key not in fewer} == {key for key in everything if key[0] == kind}
    assert set(fewer) < set(everything)


def test_images_and_volumes_follow_the_values(
    helm: Helm, chart: Callable[[str], str], problems: Callable[..., list[str]]
) -> None:
    values = "image.registry=registry.example.com:5000/team,image.tag=1.4.0-rc.1,storage.className=nfs"

    text = helm("template", "ragserve", chart("gpu"), "--set", values).stdout

    claims = {name: each["spec"] for (kind, name), each in resources(text).items() if kind == "PersistentVolumeClaim"}
    assert {name: spec.get("storageClassName") for name, spec in claims.items()} == {
        "ragserve-data": "nfs",
        "ragserve-models": "nfs",
        "ragserve-redis": None,
    }
    assert "image: registry.example.com:5000/team/ragserve-cuda:1.4.0-rc.1" in text
    assert problems(text) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("replicas=3", "Additional property replicas"),
        ("image.pullPolicy=Always", "Additional property pullPolicy"),
        ("secret.create=false", "Additional property secret"),
        ("secrets.create=no", "secrets.create"),
        ("image.tag=", "image.tag"),
        ("image.tag=14", "image.tag"),
        ("image.registry=https://registry.example.com", "image.registry"),
        ("image.registry=registry.example.com/", "image.registry"),
        ("image=null", "image is required"),
        ("storage.className=Fast_disk", "storage.className"),
    ],
)
def test_a_wrong_value_is_refused_by_name(value: str, reason: str, helm: Helm, chart: Callable[[str], str]) -> None:
    refused = helm("template", "ragserve", chart("cpu"), "--set", value)

    assert refused.returncode != 0
    assert refused.stdout == ""
    assert reason in refused.stderr


def test_it_is_packaged(tmp_path: Path, helm: Helm, chart: Callable[[str], str]) -> None:
    assert helm("package", chart("cpu"), "--destination", str(tmp_path)).returncode == 0

    assert [path.name for path in tmp_path.iterdir()] == ["ragserve-1.2.3.tgz"]
