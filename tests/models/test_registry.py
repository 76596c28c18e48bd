"""Kinds of a catalog entry: built-in names, and classes of the user's own as `module:Class`."""

from pathlib import Path

import pytest

from models.catalog import Catalog
from models.embedding.hashing_model import HashingConfig, HashingModel
from models.embedding.offline import embed_queries
from models.errors.base import RagError
from models.errors.configuration import ConfigError


class ShoutingConfig(HashingConfig):
    """Options of the test's own kind."""

    mark: str = "!"


class ShoutingModel(HashingModel):
    """An EmbeddingModel of the test's own."""

    config_class = ShoutingConfig

    def __init__(self, name: str, config: ShoutingConfig) -> None:
        super().__init__(name, config)
        self.mark = config.mark


class NoConfigModel:
    """A class that is no kind: it has no config_class."""


def extra_catalog(folder: Path, kind: str, options: str = "{}") -> Path:
    path = folder / "catalog.yaml"
    path.write_text(f"embedding: {{mine: {{kind: '{kind}', licence: MIT, options: {options}}}}}\n")
    return path


def test_a_class_of_the_users_own_serves_as_a_kind(tmp_path: Path) -> None:
    catalog = Catalog.open(extra_catalog(tmp_path, f"{__name__}:ShoutingModel", "{dim: 8, mark: '?'}"))

    model = catalog.load("embedding", "mine")

    assert (model.name, model.mark) == ("mine", "?")
    assert embed_queries(model, ["spring tide"]).shape == (1, 8)


def test_options_of_a_class_of_the_users_own_are_checked(tmp_path: Path) -> None:
    catalog = Catalog.open(extra_catalog(tmp_path, f"{__name__}:ShoutingModel", "{marks: '?'}"))

    with pytest.raises(ConfigError, match=r"catalog.embedding.mine.options.marks.*did you mean 'mark'"):
        catalog.config("embedding", "mine")


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("hashin", "unknown kind 'hashin'; did you mean 'hashing'?; for a class of your own, write module:Class"),
        ("x", "unknown kind 'x'; it is one of hashing, openai, sentence_transformers, vllm; for a class of your own"),
        ("my module:Class", "unknown kind 'my module:Class'"),
        ("no_such_module:Model", "module 'no_such_module' cannot be imported: ModuleNotFoundError"),
        (f"{__name__}:Missing", f"module {__name__!r} has no class 'Missing'"),
        (f"{__name__}:extra_catalog", f"module {__name__!r} has no class 'extra_catalog'"),
        (f"{__name__}:NoConfigModel", "the class needs an attribute config_class, a pydantic model"),
    ],
)
def test_a_kind_that_cannot_be_used_is_a_config_error(tmp_path: Path, kind: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalog.open(extra_catalog(tmp_path, kind)).config("embedding", "mine")

    assert "catalog.embedding.mine" in str(caught.value)
    assert problem in str(caught.value)


def test_a_module_that_fails_as_it_is_imported_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_kind.py").write_text("raise RuntimeError('no licence file')\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(RagError, match="'broken_kind' cannot be imported: RuntimeError: no licence file"):
        Catalog.open(extra_catalog(tmp_path, "broken_kind:Model")).load("embedding", "mine")


@pytest.mark.parametrize(("alias", "only_quotes"), [("extractive", True), ("qwen3-0.6b", False)])
def test_a_model_that_only_quotes_is_told_by_its_kind(alias: str, only_quotes: bool) -> None:
    assert Catalog.open(None).only_quotes(alias) == only_quotes
