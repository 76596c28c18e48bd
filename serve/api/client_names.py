"""The names of models that clients of other services send, each with the served name that it stands for."""

from collections.abc import Mapping

from models.catalog import Catalog
from models.errors.configuration import ConfigError
from models.errors.suggestions import did_you_mean
from models.registry import Task

SERVICE_MODEL = "ragserve"
ALIASES = "api.model_aliases"  # JsonRequest replaces these names, so that no route reads one
ANY_END = "*"  # of an alias: it stands for every name that begins so
_TASKS: tuple[Task, ...] = ("embedding", "reranking", "generation")


def check_model_aliases(aliases: Mapping[str, str], catalog: Catalog) -> None:
    """Raises ConfigError for an alias of an unknown model, and for one that hides a model."""
    names = {name for task in _TASKS for name in catalog.names(task)}
    adapters = {adapter for alias in catalog.names("generation") for adapter in catalog.adapters(alias)}
    targets = [SERVICE_MODEL, *sorted(names | adapters)]
    for name, target in aliases.items():
        if target not in targets:
            raise ConfigError(f"{ALIASES}.{name}", f"no model named {target!r}{did_you_mean(target, targets)}")
        if name in targets:
            raise ConfigError(f"{ALIASES}.{name}", f"{name!r} is a model of its own; remove this alias")


def served_name(name: str, aliases: Mapping[str, str], catalog: Catalog) -> str:
    """The name that a client's name stands for, by its alias or the longest pattern that it begins with.

    A model of the catalog keeps its name, and so does an adapter: `gpt-*` does not hide it.
    """
    if not aliases or name in aliases or any(name in catalog.entries[task] for task in _TASKS):
        return aliases.get(name, name)
    patterns = [alias for alias in aliases if alias.endswith(ANY_END) and name.startswith(alias.removesuffix(ANY_END))]
    if not patterns or any(name in catalog.adapters(alias) for alias in catalog.names("generation")):
        return name
    return aliases[max(patterns, key=len)]
