"""The catalog: every model, parser and chunker, by task and alias, from catalog.yaml and the operator's file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol, get_args, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors.configuration import ConfigError, ModelNotFoundError
from models.errors.suggestions import did_you_mean
from models.prompts.library import PromptLibrary, built_in
from models.registry import Task, check_kind, load_class
from models.source import SourceConfig, fetch_folder
from models.strict_yaml import read_strictly
from models.tokens.text_tokenizer import Tokenizer, WordTokenizer, load_tokenizer

BUILT_IN = Path(__file__).with_name("catalog.yaml")
PROMPTS = "prompts"  # the folder of prompt sets beside a catalog file
TASKS: tuple[Task, ...] = get_args(Task)
NO_OVERRIDES: Mapping[str, Any] = {}
SECRET_OPTION = "api_key"  # the loader reads it from the environment
OCR_KINDS = frozenset(["image", "pdf"])  # parsers with the option `ocr`


class CatalogEntry(BaseModel):
    """A model, parser or chunker. The type of `options` is the `config_class` of the kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = Field(description="A built-in kind from models/registry.py, or module:Class for a class of your own.")
    note: str = Field(default="", description="Purpose, in one line.")
    options: dict[str, Any] = Field(default_factory=dict, description="The kind's own configuration.")


class ModelEntry(CatalogEntry):
    """An entry of the tasks embedding, reranking and generation."""

    licence: str = Field(description="SPDX name of the weights' licence.")


class ParsingEntry(CatalogEntry):
    """An entry of the task parsing."""

    extensions: tuple[Annotated[str, Field(pattern=r"^\.[a-z0-9_+-]{1,16}$")], ...] = Field(
        default=(), max_length=64, description="Extensions of the files that it reads, in lower case, such as .md."
    )


_ENTRY_CLASSES: dict[Task, type[CatalogEntry]] = {
    "embedding": ModelEntry,
    "reranking": ModelEntry,
    "generation": ModelEntry,
    "parsing": ParsingEntry,
    "chunking": CatalogEntry,
}


@runtime_checkable
class HasEnvironment(Protocol):
    """A config whose library reads environment variables."""

    def environment(self) -> dict[str, str]:
        """The variables, by name."""


@runtime_checkable
class HasSecrets(Protocol):
    """A config with options that come from the environment."""

    def secret_variables(self) -> dict[str, str]:
        """The environment variable of each such option."""


@dataclass(frozen=True)
class Catalog:
    """Entries by task and alias, and prompt sets. Replicas get a copy of the catalog as it was at the build."""

    entries: dict[Task, dict[str, CatalogEntry]]
    prompts: PromptLibrary = field(default_factory=built_in)

    @staticmethod
    def open(extra: Path | None = None) -> "Catalog":
        """The built-in catalog with the entries of `extra`, which replace those of the same alias.

        A parser of `extra` takes its file extensions from the built-in parsers. Prompt sets are in the folder PROMPTS
        beside `extra`. Raises ConfigError.
        """
        entries = {task: dict(built_in_entries) for task, built_in_entries in _read_built_in().items()}
        if extra is not None:
            added = _read(extra)
            _take_extensions(entries["parsing"], _extensions(added["parsing"]))
            for task in TASKS:
                entries[task].update(added[task])
        return Catalog(entries, PromptLibrary.open(extra and extra.with_name(PROMPTS)))

    def without_ocr(self) -> "Catalog":
        """The same catalog, whose parsers recognize no text in images."""
        parsers = {alias: _without_ocr(entry) for alias, entry in self.entries["parsing"].items()}
        return Catalog(self.entries | {"parsing": parsers})

    def text_extensions(self) -> dict[str, str]:
        """The extensions without those of images. Most images of a folder are drawings and logos."""
        images = {alias for alias, entry in self.entries["parsing"].items() if entry.kind == "image"}
        return {extension: alias for extension, alias in self.extensions().items() if alias not in images}

    def names(self, task: Task) -> list[str]:
        return sorted(self.entries[task])

    def adapters(self, alias: str) -> list[str]:
        """The names of a generation model's LoRA adapters, as requests give them. Raises ModelNotFoundError."""
        return list(self.entry("generation", alias).options.get("adapters") or {})

    def language_models(self, aliases: Sequence[str]) -> list[str]:
        """The names by which requests may call these generation models: aliases and adapters. Raises as `entry`."""
        models = [alias for alias in aliases if not self.only_quotes(alias)]
        return [name for alias in models for name in (alias, *self.adapters(alias))]

    def only_quotes(self, alias: str) -> bool:
        """Whether a generation model only quotes: it samples nothing, and any process can run it. Raises as `entry`."""
        return self.entry("generation", alias).kind == "extractive"

    def takes_token_ids(self, alias: str) -> bool:
        """Whether an embedding model has the tokenizer of OpenAI's clients, as its entry says."""
        entry = self.entries["embedding"].get(alias)
        return entry is not None and bool(entry.options.get("token_ids"))

    def extensions(self) -> dict[str, str]:
        """The alias of the parser of each file extension."""
        return _extensions(self.entries["parsing"])

    def entry(self, task: Task, alias: str) -> CatalogEntry:
        """The entry under `alias`. Raises ModelNotFoundError, or ConfigError for parsers and chunkers."""
        try:
            return self.entries[task][alias]
        except KeyError:
            if _ENTRY_CLASSES[task] is ModelEntry:
                raise ModelNotFoundError(f"catalog.{task}", alias, self.names(task)) from None
            problem = f"no entry named {alias!r}{did_you_mean(alias, self.names(task))}"
            raise ConfigError(f"catalog.{task}", problem) from None

    def config(self, task: Task, alias: str, overrides: Mapping[str, Any] = NO_OVERRIDES) -> BaseModel:
        """The typed options of `alias`; `overrides` replace some. Raises ModelNotFoundError, ConfigError."""
        entry = self.entry(task, alias)
        config_class = load_class(task, entry.kind, _location(task, alias)).config_class
        try:
            return config_class(**{**entry.options, **overrides})
        except ValidationError as error:
            raise first_problem(f"{_location(task, alias)}.options", error, config_class) from None

    def load(self, task: Task, alias: str, overrides: Mapping[str, Any] = NO_OVERRIDES) -> Any:
        """Build the entry's class, with `overrides` of its options. Models read their weights, which is slow.

        Raises ConfigError, ModelLoadError.
        """
        kind_class = load_class(task, self.entry(task, alias).kind, _location(task, alias))
        return kind_class(alias, self.config(task, alias, overrides))

    def environment(self, task: Task, alias: str) -> dict[str, str]:
        """Environment variables that the library of `alias` reads when it is imported; set them before `load`."""
        config = self.config(task, alias)
        return config.environment() if isinstance(config, HasEnvironment) else {}

    def secret_variables(self, task: Task, alias: str) -> dict[str, str]:
        """The environment variable of each option of `alias` that is a secret."""
        config = self.config(task, alias)
        return config.secret_variables() if isinstance(config, HasSecrets) else {}

    def tokenizer(self, alias: str) -> Tokenizer:
        """The tokenizer of an embedding model, without its weights. Raises ModelNotFoundError, ModelLoadError.

        A model without a source of weights, such as a remote one, may name another model's; else words are counted.
        """
        config = self.config("embedding", alias)
        if isinstance(config, SourceConfig):
            return load_tokenizer(fetch_folder(alias, config, ["tokenizer.json"]))
        other: str | None = getattr(config, "tokenizer", None)
        return self.tokenizer(other) if other and other != alias else WordTokenizer()


def _without_ocr(entry: CatalogEntry) -> CatalogEntry:
    if entry.kind not in OCR_KINDS:
        return entry
    ocr = (entry.options.get("ocr") or {}) | {"enabled": False}
    return entry.model_copy(update={"options": entry.options | {"ocr": ocr}})


@cache
def _read_built_in() -> dict[Task, dict[str, CatalogEntry]]:
    """The entries of the package. They are read once: parsing them takes longer than all else of `check-config`."""
    return _read(BUILT_IN)


def _read(path: Path) -> dict[Task, dict[str, CatalogEntry]]:
    try:
        raw = read_strictly(path.read_text()) or {}
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"cannot be read: {getattr(error, 'strerror', error)}") from None
    if not isinstance(raw, dict) or not all(isinstance(raw[task] or {}, dict) for task in raw):
        raise ConfigError(path.name, f"must map tasks to aliases and their entries; tasks are {', '.join(TASKS)}")
    unknown = sorted(set(raw) - set(TASKS))
    if unknown:
        raise ConfigError(path.name, f"unknown task {unknown[0]!r}; it is one of {', '.join(TASKS)}")
    entries = {
        task: {alias: _entry(task, alias, fields) for alias, fields in (raw.get(task) or {}).items()} for task in TASKS
    }
    _refuse_shared_extensions(entries["parsing"])
    return entries


def _entry(task: Task, alias: str, fields: dict[str, Any]) -> CatalogEntry:
    where, entry_class = _location(task, alias), _ENTRY_CLASSES[task]
    try:
        entry = entry_class(**fields)
    except ValidationError as error:
        raise first_problem(where, error, entry_class) from None
    except TypeError:
        raise ConfigError(where, f"must be a mapping of {', '.join(entry_class.model_fields)}") from None
    check_kind(task, entry.kind, where)
    if SECRET_OPTION in entry.options:  # never print it
        raise ConfigError(
            f"{where}.options.{SECRET_OPTION}", "is a secret: name its environment variable in key_variable"
        )
    return entry


def _extensions(entries: dict[str, CatalogEntry]) -> dict[str, str]:
    """The alias of the parser of each file extension."""
    return {extension: alias for alias, parser in _parsers(entries) for extension in parser.extensions}


def _refuse_shared_extensions(entries: dict[str, CatalogEntry]) -> None:
    """Raises ConfigError if two parsers of one file have the same extension: their order would silently choose one."""
    aliases: dict[str, str] = {}
    for alias, parser in _parsers(entries):
        for extension in parser.extensions:
            if aliases.setdefault(extension, alias) != alias:
                message = f"{extension} belongs to {aliases[extension]!r} already; remove it from one of the two"
                raise ConfigError(f"{_location('parsing', alias)}.extensions", message)


def _take_extensions(entries: dict[str, CatalogEntry], claimed: dict[str, str]) -> None:
    """Remove the extensions in `claimed` from the entries."""
    for alias, parser in _parsers(entries):
        remaining = tuple(extension for extension in parser.extensions if extension not in claimed)
        entries[alias] = parser.model_copy(update={"extensions": remaining})


def _parsers(entries: dict[str, CatalogEntry]) -> list[tuple[str, ParsingEntry]]:
    return [(alias, entry) for alias, entry in entries.items() if isinstance(entry, ParsingEntry)]


def _location(task: Task, alias: str) -> str:
    """The entry's place in the catalog, for error messages."""
    return f"catalog.{task}.{alias}"


def first_problem(where: str, error: ValidationError, kind: type[BaseModel]) -> ConfigError:
    """The first problem of a validation, with the most similar key for an unknown key."""
    first = error.errors()[0]
    key = ".".join(str(step) for step in first["loc"])
    if first["type"] != "extra_forbidden":
        return ConfigError(f"{where}.{key}" if key else where, first["msg"])
    return ConfigError(f"{where}.{key}", f"unknown key{did_you_mean(key, kind.model_fields)}")
