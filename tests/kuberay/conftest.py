"""Overlays, their inputs, and the manifest checker."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "kuberay"
CHECKER = ROOT.parent / "shared" / "tools" / "check_manifests.py"

Documents = list[dict[str, Any]]


@pytest.fixture(scope="session")
def checker() -> ModuleType:
    """check_manifests.py: the CRDs' schemas and the operator's own rules."""
    if not CHECKER.exists():
        pytest.skip(f"no manifest checker at {CHECKER}")
    spec = importlib.util.spec_from_file_location("check_manifests", CHECKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def problems(checker: ModuleType) -> Callable[..., list[str]]:
    """A function that lists the errors and warnings of manifests."""
    schemas = cache(checker.Catalog)

    def check(text: str, minor: str = "1.34", gates: frozenset[str] = frozenset()) -> list[str]:
        options = checker.Options(minor=minor, gates=set(gates))
        findings = checker.check_texts([("manifests", text)], options, schemas(minor))
        return [str(finding) for finding in findings if finding.level != "info"]

    return check


@cache
def kustomize(folder: Path) -> str:
    """The manifests that kustomize builds. Skips without kubectl and kustomize."""
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, str(folder)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout
    pytest.skip("neither kubectl nor kustomize is installed")


def base_text() -> str:
    """The resources of the base as one text. kustomize would only add the namespace."""
    resources = yaml.safe_load((KUBERAY / "base" / "kustomization.yaml").read_text())["resources"]
    return "\n---\n".join((KUBERAY / "base" / name).read_text() for name in resources)


def service_of(text: str) -> dict[str, Any]:
    services = [document for document in yaml.safe_load_all(text) if document and document["kind"] == "RayService"]
    assert len(services) == 1
    return services[0]


def serve_config_of(service: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
    return config


def deployments_of(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {deployment["name"]: deployment for deployment in serve_config_of(service)["applications"][0]["deployments"]}


def groups_of(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {group["groupName"]: group for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]}
