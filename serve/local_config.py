"""What a deployment file needs of this machine: files, modules and weights. A cluster's pods have others."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployments.cluster.strict_schema import Problem
from models.catalog import Catalog
from models.errors.configuration import ConfigError
from models.errors.model_failures import ModelLoadError
from models.weights import check_weights
from serve.access.keys import read_keys
from serve.config_file import settings_of
from serve.config_models import chosen_models
from serve.events.sinks import configured_sinks


def check_here(raw: dict[str, Any]) -> list[Problem]:
    """What is missing on this machine. `raw` is a file without a problem by itself. The model hub may be asked."""
    return [*_check_import_path(raw), *_check_keys_file(raw), *_check_events(raw), *_check_weights(raw)]


def _check_import_path(raw: dict[str, Any]) -> Iterator[Problem]:
    for index, application in enumerate(raw["applications"]):
        where, import_path = f"applications[{index}].import_path", application["import_path"]
        module_name, separator, attribute = import_path.partition(":")
        if not separator:
            yield Problem(where, f"{import_path!r} is no module:attribute; the service is serve.app:build")
            continue
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # noqa: BLE001, the module's own code runs here and may raise anything
            yield Problem(where, f"{import_path!r} cannot be imported: {type(error).__name__}: {error}")
            continue
        if not hasattr(module, attribute):
            yield Problem(where, f"the module {module_name!r} has no {attribute!r}; the service is serve.app:build")


def _check_keys_file(raw: dict[str, Any]) -> Iterator[Problem]:
    path: Path | None = settings_of(raw).api.keys_file
    if path is None:
        return
    try:
        read_keys(path)
    except ConfigError as error:
        yield Problem("applications[0].args.api.keys_file", str(error))


def _check_events(raw: dict[str, Any]) -> Iterator[Problem]:
    """Secrets of the environment, packages, and the file of Kafka's authority."""
    try:
        configured_sinks(settings_of(raw).events)
    except ConfigError as error:
        yield Problem(f"applications[0].args.{error.where}", error.message)


def _check_weights(raw: dict[str, Any]) -> Iterator[Problem]:
    """Each model once: the embedder's is the parser's tokenizer too."""
    catalog, checked = Catalog.open(settings_of(raw).catalog), set[tuple[str, str]]()
    for choice in chosen_models(raw["applications"][0]):
        if (choice.task, choice.alias) in checked:
            continue
        checked.add((choice.task, choice.alias))
        try:
            check_weights(choice.alias, catalog.config(choice.task, choice.alias))
        except ModelLoadError as error:
            yield Problem(f"applications[0].{choice.where}", str(error))
