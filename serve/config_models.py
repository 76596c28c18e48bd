"""The stages of a deployment file, and the models that they name: each alias is in the catalog, and fits the others."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deployments.cluster.strict_schema import Problem
from deployments.dense_searcher import DenseSearcherConfig
from deployments.embedder import EmbedderConfig
from deployments.generator import GeneratorConfig
from deployments.lexical_searcher import LexicalSearcherConfig
from deployments.parser import ParserConfig
from deployments.replica.user_config import StageConfig
from deployments.reranker import RerankerConfig
from models.catalog import Catalog
from models.errors.base import RagError
from models.errors.configuration import ConfigError
from models.errors.suggestions import did_you_mean
from models.registry import Task
from serve.api.client_names import check_model_aliases
from serve.pipelines.equal_vectors import EmbedFallbackConfig
from serve.settings import IngressConfig, Settings

STAGES: dict[str, type[StageConfig]] = {
    "Ingress": IngressConfig,
    "Embedder": EmbedderConfig,
    "DenseSearcher": DenseSearcherConfig,
    "LexicalSearcher": LexicalSearcherConfig,
    "Reranker": RerankerConfig,
    "Generator": GeneratorConfig,
    "Parser": ParserConfig,
}
# The keys of user_config that name a catalog alias, and the task of the model.
ALIASES: dict[tuple[str, str], Task] = {
    ("Embedder", "model"): "embedding",
    ("Parser", "tokenizer"): "embedding",
    ("Parser", "chunker"): "chunking",
    ("Reranker", "model"): "reranking",
    ("Generator", "model"): "generation",
}


@dataclass(frozen=True)
class ModelChoice:
    """An alias of the catalog in a stage's user_config, and the key that names it."""

    task: Task
    alias: str
    where: str


def check_models(arguments: dict[str, Any], deployments: list[dict[str, Any]], where: str) -> Iterator[Problem]:
    try:
        catalog = Catalog.open(None if arguments.get("catalog") is None else Path(arguments["catalog"]))
    except ConfigError as error:
        yield Problem(f"{where}.args.catalog", str(error))
        return
    user_configs = _user_configs(arguments, deployments)
    for choice in (*_choices(user_configs), *_fallback_choices(arguments)):
        yield from _check_alias(catalog, choice.task, choice.alias, f"{where}.{choice.where}")
    for alias in catalog.names("parsing"):
        yield from _check_alias(catalog, "parsing", alias, f"{where}.args.catalog")
    yield from _check_tokenizer(user_configs, where)
    yield from _check_query(catalog, arguments, user_configs, where)
    yield from _check_model_aliases(catalog, arguments, user_configs, where)


def chosen_models(application: dict[str, Any]) -> list[ModelChoice]:
    """Every alias that a checked application names, with the place of its name."""
    arguments, deployments = application.get("args") or {}, application.get("deployments") or []
    return [*_choices(_user_configs(arguments, deployments)), *_fallback_choices(arguments)]


def inline_stages(arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The user_config of each inline stage."""
    inline = arguments.get("inline")
    configs = inline.items() if isinstance(inline, dict) else ()
    return {name: config for name, config in configs if isinstance(config, dict)}


def _user_configs(arguments: dict[str, Any], deployments: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The user_config of each stage, by name."""
    return {entry["name"]: entry.get("user_config") or {} for entry in deployments} | inline_stages(arguments)


def _choices(user_configs: dict[str, dict[str, Any]]) -> Iterator[ModelChoice]:
    for (stage, key), task in ALIASES.items():
        where = f"deployments ({stage}).user_config"
        alias = user_configs.get(stage, {}).get(key, STAGES[stage].model_fields[key].default)
        for each in alias if isinstance(alias, list) else [alias]:
            yield ModelChoice(task, each, f"{where}.{key}")
        canary = user_configs.get(stage, {}).get("canary")
        if isinstance(canary, dict) and "model" in canary:
            yield ModelChoice(task, canary["model"], f"{where}.canary.model")


def _fallback_choices(arguments: dict[str, Any]) -> list[ModelChoice]:
    try:
        models = EmbedFallbackConfig(**(arguments.get("embed_fallback") or {})).models
    except (ValidationError, TypeError):
        return []  # the settings' own check reports this
    where = "args.embed_fallback.models"
    return [ModelChoice("embedding", alias, f"{where}[{place}]") for place, alias in enumerate(models)]


def _check_model_aliases(
    catalog: Catalog, arguments: dict[str, Any], user_configs: dict[str, dict[str, Any]], where: str
) -> Iterator[Problem]:
    """Names of clients stand for models of the catalog."""
    try:
        api = Settings(**arguments).with_user_config(user_configs.get("Ingress")).api
    except (RagError, ValidationError):
        return  # the checks above report this
    try:
        check_model_aliases(api.model_aliases, catalog)
    except ConfigError as error:
        yield Problem(f"{where}.{error.where}", error.message)


def _check_query(
    catalog: Catalog, arguments: dict[str, Any], user_configs: dict[str, dict[str, Any]], where: str
) -> Iterator[Problem]:
    """Prompt sets are in the catalog, and questions are read by language models that the Generator serves."""
    user_config = f"{where}.deployments (Ingress).user_config"
    where = f"{user_config}.query"
    try:
        settings = Settings(**arguments).with_user_config(user_configs.get("Ingress"))
        query = settings.query
        served = catalog.language_models(GeneratorConfig(**user_configs.get("Generator", {})).choice.aliases)
    except (RagError, ValidationError):
        return  # the checks above report this
    readers = {
        f"{where}.follow_up": query.follow_up.model,
        f"{where}.understanding": query.understanding.model,
        f"{user_config}.memory": settings.memory.model,
    }
    for key, alias in readers.items():
        if alias is not None and alias not in served:
            message = f"the Generator serves no language model {alias!r}; it serves {', '.join(served) or 'none'}"
            yield Problem(f"{key}.model", message)
    for key, name in zip(("prompt", "canary.prompt"), query.prompts.names, strict=False):
        if name not in catalog.prompts.sets:
            message = f"no prompt set named {name!r}{did_you_mean(name, catalog.prompts.sets)}"
            yield Problem(f"{where}.prompts.{key}", message)


def _check_alias(catalog: Catalog, task: Task, alias: str, where: str) -> Iterator[Problem]:
    try:
        catalog.config(task, alias)
    except RagError as error:
        yield Problem(where, str(error))


def _check_tokenizer(user_configs: dict[str, dict[str, Any]], where: str) -> Iterator[Problem]:
    """Chunks are measured in the embedding model's tokens. With another tokenizer they would silently be cut."""
    embedder = user_configs.get("Embedder", {}).get("model", EmbedderConfig().model)
    tokenizer = user_configs.get("Parser", {}).get("tokenizer", ParserConfig().tokenizer)
    if tokenizer != embedder:
        message = f"is {tokenizer!r}, but Embedder's model is {embedder!r}; set both to the same alias"
        yield Problem(f"{where}.deployments (Parser).user_config.tokenizer", message)
