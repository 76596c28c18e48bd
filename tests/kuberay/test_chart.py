"""The Helm chart: with its values filled in, it is the manifests that kustomize applies."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from models.errors.configuration import ConfigError
from serve.cli.kubernetes.chart import chart_of
from serve.cli.main import app
from tests.kuberay.conftest import KUBERAY, base_text

OVERLAYS = KUBERAY / "overlays"


def filled(text: str, registry: str = "", tag: str = "1.2.3") -> str:
    """The template as Helm renders it, for the few actions that a chart of ours has."""
    text = re.sub(r"\{\{- with [^}]*\}\}\n.*\n\{\{- end \}\}\n", "", text)  # no storage class
    text = re.sub(r"\{\{- (if [.\w]+|end) \}\}\n", "", text)
    prefix = f"{registry}/" if registry else ""
    text = text.replace("{{ with .Values.image.registry }}{{ . }}/{{ end }}", prefix)
    text = text.replace("{{ .Values.image.tag }}", tag).replace('{{ "{{" }}', "\0")
    assert "{{" not in text
    return text.replace("\0", "{{")


def documents(*texts: str) -> list[object]:
    loaded = [document for text in texts for document in yaml.safe_load_all(text)]
    return sorted((document for document in loaded if document), key=str)


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "milvus"])
def test_it_has_the_resources_of_the_overlay(overlay: str) -> None:
    folder = OVERLAYS / overlay
    own = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = chart_of(folder, "0.1.0")
    templates = [filled(text, tag="0.1.0") for path, text in files.items() if path.endswith(".yaml") and "/" in path]

    applied = [base_text(), *((folder / name).read_text() for name in own if name != "../../base")]
    namespace = yaml.safe_load((KUBERAY / "base/namespace.yaml").read_text())

    assert documents(*templates) == [each for each in documents(*applied) if each != namespace]


def test_the_values_say_where_the_images_are() -> None:
    files = chart_of(OVERLAYS / "gpu", "1.2.3")
    text = filled(files["templates/gpu-generated.yaml"], "registry.example.com/team")

    values = yaml.safe_load(files["values.yaml"])
    assert values["image"] == {"registry": "", "tag": "1.2.3"}
    jsonschema.validate(values, json.loads(files["values.schema.json"]))
    assert set(re.findall(r"image: (\S+ragserve\S+)", text)) == {
        "registry.example.com/team/ragserve-cpu:1.2.3",
        "registry.example.com/team/ragserve-cuda:1.2.3",
    }


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "milvus"])
def test_it_passes_the_checker(overlay: str, problems: Callable[..., list[str]]) -> None:
    files = chart_of(OVERLAYS / overlay, "1.2.3")
    texts = [filled(text) for path, text in files.items() if path.startswith("templates/") and path.endswith(".yaml")]

    assert problems("\n---\n".join(texts)) == []


def test_an_overlay_that_a_chart_cannot_express_is_refused() -> None:
    with pytest.raises(ConfigError, match="a chart cannot have configMapGenerator, generatorOptions; use kustomize"):
        chart_of(OVERLAYS / "gpu-tight", "1.2.3")


def test_a_version_that_helm_or_a_registry_refuses_is_refused() -> None:
    for version in ("1.4", "v1.4.0", "latest", "1.4.0+build", "01.4.0", ""):
        with pytest.raises(ConfigError, match=r"must be a version such as 1\.4\.0"):
            chart_of(OVERLAYS / "cpu", version)


def test_a_folder_without_an_overlay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no kustomization\.yaml"):
        chart_of(tmp_path, "1.2.3")


def test_a_chart_of_another_overlay_is_replaced(tmp_path: Path) -> None:
    for overlay in ("milvus", "cpu"):
        command = ["kubernetes", "chart", str(tmp_path), "--overlay", str(OVERLAYS / overlay)]
        assert CliRunner().invoke(app, command).exit_code == 0

    assert not list((tmp_path / "templates").glob("milvus-*"))
    assert (tmp_path / "templates/cpu-generated.yaml").exists()


@pytest.mark.parametrize(("name", "text"), [("notes.txt", "mine"), ("Chart.yaml", "name: mine")])
def test_files_that_are_no_chart_of_ours_are_left_alone(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    result = CliRunner().invoke(app, ["kubernetes", "chart", str(tmp_path), "--overlay", str(OVERLAYS / "cpu")])

    assert isinstance(result.exception, ConfigError)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_every_volume_stays_when_the_release_is_removed() -> None:
    text = filled(chart_of(OVERLAYS / "cpu", "1.2.3")["templates/base-storage.yaml"])

    claims = list(yaml.safe_load_all(text))

    assert len(claims) == 3
    assert all(claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for claim in claims)


def test_the_command_writes_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["kubernetes", "chart", str(tmp_path), "--overlay", str(OVERLAYS / "cpu")])

    assert result.exit_code == 0
    assert yaml.safe_load((tmp_path / "Chart.yaml").read_text())["name"] == "ragserve"
    assert {path.name for path in (tmp_path / "templates").iterdir()} >= {"NOTES.txt", "cpu-generated.yaml"}
