"""docs/kubernetes.md: its numbers match the manifests, its files and commands exist."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from serve.cli.main import app
from tests.kuberay.conftest import KUBERAY, ROOT, groups_of, kustomize, service_of

DOCS = ROOT / "docs" / "kubernetes.md"
GIB = {"Mi": Decimal(1) / 1024, "Gi": Decimal(1), "Ti": Decimal(1024)}
Size = tuple[Decimal, Decimal, int]


def size_of(resources: dict[str, str]) -> Size:
    """CPUs, GiB, GPUs."""
    cpu, memory = resources["cpu"], resources["memory"]
    cpus = Decimal(cpu[:-1]) / 1000 if cpu.endswith("m") else Decimal(cpu)
    return cpus, Decimal(memory[:-2]) * GIB[memory[-2:]], int(resources.get("nvidia.com/gpu", 0))


def reserved(overlay: str, bound: str) -> Size:
    """The resources of all pods of an overlay, with minReplicas or maxReplicas pods."""
    service = service_of((KUBERAY / "overlays" / overlay / "generated.yaml").read_text())
    cluster = service["spec"]["rayClusterConfig"]
    redis = next(
        document
        for document in yaml.safe_load_all((KUBERAY / "base/redis.yaml").read_text())
        if document["kind"] == "StatefulSet"
    )
    pods = [(redis["spec"], 1), (cluster["headGroupSpec"], 1)]
    pods += [(group, group[bound]) for group in groups_of(service).values()]
    sizes = [(size_of(cluster["autoscalerOptions"]["resources"]["requests"]), 1)]
    for group, count in pods:
        containers = group["template"]["spec"]["containers"]
        sizes += [(size_of(container["resources"]["requests"]), count) for container in containers]
    totals = [sum(size[index] * count for size, count in sizes) for index in range(3)]
    return Decimal(totals[0]), Decimal(totals[1]), int(totals[2])


def row(overlay: str) -> str:
    cells = [
        f"{total.normalize():f}" if isinstance(total, Decimal) else str(total)
        for bound in ("minReplicas", "maxReplicas")
        for total in reserved(overlay, bound)
    ]
    return f"| `{overlay}` | {' | '.join(cells)} |"


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "gpu-tight", "milvus"])
def test_the_cost_table_matches_the_manifests(overlay: str) -> None:
    assert row(overlay) in DOCS.read_text()


def test_every_named_file_exists() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)", DOCS.read_text())
    named = re.findall(r"`(kuberay/[\w./-]+)`", DOCS.read_text())

    assert linked
    assert not [path for path in linked if not (DOCS.parent / path).exists()]
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_ragserve_command_exists() -> None:
    commands = set(re.findall(r"^ragserve ((?:[a-z-]+ ?)+)", DOCS.read_text(), flags=re.MULTILINE))

    assert commands
    for command in commands:
        assert CliRunner().invoke(app, [*command.split(), "--help"]).exit_code == 0, command


def test_the_example_overlay_builds(tmp_path: Path, problems: Callable[..., list[str]]) -> None:
    """The page's example, in a copy of kuberay/ so that its relative paths work."""
    blocks = re.findall(r"```yaml\n# (kustomization\.yaml|values\.yaml)\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    overlay = tmp_path / "kuberay" / "overlays" / "mine"
    for path in KUBERAY.rglob("*.yaml"):
        copy = tmp_path / "kuberay" / path.relative_to(KUBERAY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    overlay.mkdir()
    assert {name for name, _ in blocks} == {"kustomization.yaml", "values.yaml"}
    for name, text in blocks:
        (overlay / name).write_text(text)

    arguments = ["kubernetes", "render", str(overlay), "--folder", str(tmp_path / "kuberay")]
    done = CliRunner().invoke(app, [*arguments, "--config", str(ROOT / "serve_config.yaml")])

    assert done.exit_code == 0, done.output
    built = kustomize(overlay)
    assert problems(built) == []
    service = service_of(built)
    images = {group["template"]["spec"]["containers"][0]["image"] for group in groups_of(service).values()}
    assert images == {"registry.example.com/ragserve-cpu:1.4.0", "registry.example.com/ragserve-cuda:1.4.0"}
