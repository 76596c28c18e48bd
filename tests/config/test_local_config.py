"""What the deployment file needs of this machine, in the words of `ragserve check-config`."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from serve.cli.main import app
from serve.config_file import read
from serve.local_config import check_here

ROOT = Path(__file__).parents[2]


@pytest.fixture
def raw() -> dict[str, Any]:
    return copy.deepcopy(read(ROOT / "serve_config.yaml"))


def messages(raw: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in check_here(raw)]


def with_reranker(raw: dict[str, Any], folder: Path, source: str) -> dict[str, Any]:
    entry = {"kind": "cross_encoder", "licence": "none", "options": {"source": source, "max_tokens": 512}}
    (folder / "catalog.yaml").write_text(yaml.safe_dump({"reranking": {"own": entry}}))
    application = raw["applications"][0]
    application["args"]["catalog"] = str(folder / "catalog.yaml")
    reranker = next(entry for entry in application["deployments"] if entry["name"] == "Reranker")
    reranker["user_config"]["model"] = "own"
    return raw


def test_the_shipped_file_needs_nothing_that_is_missing(raw: dict[str, Any]) -> None:
    assert messages(raw) == []


@pytest.mark.parametrize(
    ("import_path", "problem"),
    [
        ("serve.ap:build", "cannot be imported: ModuleNotFoundError: No module named 'serve.ap'"),
        ("serve.app:biuld", "the module 'serve.app' has no 'biuld'; the service is serve.app:build"),
        ("serve.app.build", "'serve.app.build' is no module:attribute"),
    ],
)
def test_an_import_path_that_does_not_import_is_refused(raw: dict[str, Any], import_path: str, problem: str) -> None:
    raw["applications"][0]["import_path"] = import_path

    (message,) = messages(raw)

    assert message.startswith("applications[0].import_path: ")
    assert problem in message


def test_a_missing_keys_file_is_refused(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["applications"][0]["args"]["api"] = {"keys_file": str(tmp_path / "keys.yaml")}

    (message,) = messages(raw)

    assert message.startswith("applications[0].args.api.keys_file: ")
    assert "No such file" in message


def test_a_folder_of_weights_that_is_missing_is_refused(raw: dict[str, Any], tmp_path: Path) -> None:
    (message,) = messages(with_reranker(raw, tmp_path, str(tmp_path / "weights")))

    assert message.startswith("applications[0].deployments (Reranker).user_config.model: model 'own' does not load")
    assert str(tmp_path / "weights") in message

    (tmp_path / "weights").mkdir()
    assert messages(raw) == []


def test_weights_of_a_hub_that_cannot_be_reached_are_refused(
    raw: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    (message,) = messages(with_reranker(raw, tmp_path, "owner/model"))

    assert "the weights of owner/model are not on this machine, and the model hub cannot be reached" in message


def test_the_command_prints_what_is_missing_and_exits_with_2(raw: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(with_reranker(raw, tmp_path, str(tmp_path / "weights"))))

    result = CliRunner().invoke(app, ["check-config", str(path), "--cpus", "2", "--gpus", "0"])

    assert result.exit_code == 2
    assert "model 'own' does not load" in " ".join(result.output.split())
