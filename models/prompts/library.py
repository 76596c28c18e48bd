"""All prompt sets: the built-in ones, and those beside an operator's catalog. A file is <name>/<version>.yaml."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from models.errors.configuration import ConfigError
from models.errors.suggestions import did_you_mean
from models.prompts.prompt_set import PromptSet, PromptTexts

BUILT_IN = Path(__file__).parent
DEFAULT_PROMPTS = "default@1"
MAX_FILE_BYTES = 1_000_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is compiled
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class PromptLibrary:
    """Prompt sets by name@version."""

    sets: Mapping[str, PromptSet]

    @staticmethod
    def open(extra: Path | None = None) -> "PromptLibrary":
        """The built-in sets with those of the folder `extra`, which replace those of the same name and version.

        Raises ConfigError for an unreadable file, an unknown key, and an unknown or missing placeholder.
        """
        added = dict(_read(extra)) if extra is not None and extra.is_dir() else {}
        return PromptLibrary({**built_in().sets, **added})

    def get(self, name: str) -> PromptSet:
        """The set under name@version. Raises ConfigError."""
        if name not in self.sets:
            raise ConfigError("prompts", f"no prompt set named {name!r}{did_you_mean(name, sorted(self.sets))}")
        return self.sets[name]


@cache
def built_in() -> PromptLibrary:
    return PromptLibrary(dict(_read(BUILT_IN)))


def default_prompts() -> PromptSet:
    return built_in().get(DEFAULT_PROMPTS)


def _read(folder: Path) -> Iterator[tuple[str, PromptSet]]:
    for path in sorted(folder.glob("*/*.yaml")):
        name, version = path.parent.name, path.stem
        where = f"prompts/{name}/{path.name}"
        if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version)):
            raise ConfigError(where, "must be <name>/<version>.yaml: a name of a-z, 0-9, - and _, and a whole number")
        yield f"{name}@{version}", PromptSet(f"{name}@{version}", _texts(path, where))


def _texts(path: Path, where: str) -> PromptTexts:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(where, f"is larger than {MAX_FILE_BYTES} bytes")
        raw = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(where, f"cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(where, f"must be a mapping of {', '.join(PromptTexts.model_fields)}")
    try:
        return PromptTexts(**raw)
    except ValidationError as error:
        raise _problem(where, error) from None
    except TypeError:
        raise ConfigError(where, "has a key that is not a text") from None


def _problem(where: str, error: ValidationError) -> ConfigError:
    """The first problem, at its key."""
    first = error.errors()[0]
    key = ".".join(str(step) for step in first["loc"])
    place = f"{where}: {key}" if key else where
    if first["type"] == "extra_forbidden":
        return ConfigError(place, "unknown key")
    return ConfigError(place, first["msg"].removeprefix("Value error, "))
