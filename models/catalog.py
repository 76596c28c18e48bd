"""The catalog: every model that a stage may name, by task and alias, from catalog.yaml and the operator's file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.documents.tokenizer import FastTokenizer, load_tokenizer
from models.errors import ConfigError, ModelNotFoundError, did_you_mean
from models.registry import Task, check_kind, load_class
from models.source import SourceConfig, fetch_folder

BUILT_IN = Path(__file__).with_name("catalog.yaml")
TASKS: tuple[Task, ...] = get_args(Task)


class CatalogEntry(BaseModel):
    """One model. The type of `options` is the `config_class` of the kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(description="A built-in kind from models/registry.py, or module:Class for a class of your own.")
    licence: str = Field(description="SPDX name of the weights' licence.")
    note: str = Field(default="", description="What it is good for, in a line.")
    options: dict[str, Any] = Field(default_factory=dict, description="The kind's own configuration.")


@runtime_checkable
class HasEnvironment(Protocol):
    """A config whose model's library is steered by environment variables."""

    def environment(self) -> dict[str, str]:
        """The variables, by name."""


@dataclass(frozen=True)
class Catalog:
    """Aliases of models by task. Travels to the replicas as it was when the application was built."""

    entries: dict[Task, dict[str, CatalogEntry]]

    @staticmethod
    def open(extra: Path | None = None) -> "Catalog":
        """The built-in catalog, with the entries of `extra` added or put in place of its own. Raises ConfigError."""
        entries = _read(BUILT_IN)
        if extra is not None:
            for task, added in _read(extra).items():
                entries[task].update(added)
        return Catalog(entries)

    def names(self, task: Task) -> list[str]:
        return sorted(self.entries[task])

    def adapters(self, alias: str) -> list[str]:
        """The LoRA adapters of a generation model, by the names that requests give. Raises ModelNotFoundError."""
        return list(self.entry("generation", alias).options.get("adapters") or {})

    def entry(self, task: Task, alias: str) -> CatalogEntry:
        """The entry under `alias`. Raises ModelNotFoundError with the nearest known one."""
        try:
            return self.entries[task][alias]
        except KeyError:
            raise ModelNotFoundError(f"catalog.{task}", alias, self.names(task)) from None

    def config(self, task: Task, alias: str) -> BaseModel:
        """The typed options of `alias`. Raises ModelNotFoundError, ConfigError."""
        entry = self.entry(task, alias)
        config_class = load_class(task, entry.kind, _location(task, alias)).config_class
        try:
            return config_class(**entry.options)
        except ValidationError as error:
            raise first_problem(f"{_location(task, alias)}.options", error, config_class) from None

    def load(self, task: Task, alias: str) -> Any:
        """The model itself. Slow: reads weights. Raises ModelNotFoundError, ConfigError, ModelLoadError."""
        kind_class = load_class(task, self.entry(task, alias).kind, _location(task, alias))
        return kind_class(alias, self.config(task, alias))

    def environment(self, task: Task, alias: str) -> dict[str, str]:
        """Environment variables that the library of `alias` reads when it is imported; set before `load`."""
        config = self.config(task, alias)
        return config.environment() if isinstance(config, HasEnvironment) else {}

    def tokenizer(self, alias: str) -> FastTokenizer:
        """The tokenizer of an embedding model, without its weights. Raises ModelNotFoundError, ModelLoadError."""
        config = self.config("embedding", alias)
        assert isinstance(config, SourceConfig)  # every kind of embedding model has a source
        return load_tokenizer(fetch_folder(alias, config, ["tokenizer.json"]))


def _read(path: Path) -> dict[Task, dict[str, CatalogEntry]]:
    try:
        raw = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(path.name, f"cannot be read: {error}") from None
    unknown = sorted(set(raw) - set(TASKS))
    if unknown:
        raise ConfigError(path.name, f"unknown task {unknown[0]!r}; it is one of {', '.join(TASKS)}")
    return {
        task: {alias: _entry(task, alias, fields) for alias, fields in (raw.get(task) or {}).items()} for task in TASKS
    }


def _entry(task: Task, alias: str, fields: dict[str, Any]) -> CatalogEntry:
    where = _location(task, alias)
    try:
        entry = CatalogEntry(**fields)
    except (ValidationError, TypeError) as error:
        if isinstance(error, TypeError):
            raise ConfigError(where, "must be a mapping of kind, licence, note and options") from None
        raise first_problem(where, error, CatalogEntry) from None
    check_kind(task, entry.kind, where)
    return entry


def _location(task: Task, alias: str) -> str:
    """The entry's place in the catalog, for error messages."""
    return f"catalog.{task}.{alias}"


def first_problem(where: str, error: ValidationError, kind: type[BaseModel]) -> ConfigError:
    """The first problem, with the nearest known key if it is an unknown one."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return ConfigError(f"{where}.{key}" if key else where, first["msg"])
    return ConfigError(f"{where}.{key}", f"unknown key{did_you_mean(key, kind.model_fields)}")
