"""`ragserve up --llm` and `--embedder`: models in place of the deployment file's."""

import importlib.util
from typing import Any, Literal

from models.catalog import Catalog

GENERATOR, EMBEDDER, PARSER, RERANKER = "Generator", "Embedder", "Parser", "Reranker"
LATE_INTERACTION = "late_interaction"
# What makes two entries of the catalog the same weights.
WEIGHTS = ("source", "package", "packed_file")


def choose_llm(raw: dict[str, Any], alias: str, catalog: Catalog, num_gpus: float) -> None:
    """Name `alias` as the Generator's model. It gets a GPU if the machine has one that no stage of the file takes.

    `raw` is a checked deployment file, and is changed. Raises ModelNotFoundError.
    """
    catalog.entry("generation", alias)
    deployments = raw["applications"][0]["deployments"]
    free = num_gpus - sum((entry.get("ray_actor_options") or {}).get("num_gpus") or 0 for entry in deployments)
    for deployment in (entry for entry in deployments if entry["name"] == GENERATOR):
        _configure(deployment, model=alias)
        options = deployment.setdefault("ray_actor_options", {})
        if free >= 1 and not options.get("num_gpus") and not catalog.only_quotes(alias):
            options["num_gpus"] = 1


def choose_embedder(raw: dict[str, Any], alias: str, catalog: Catalog) -> None:
    """Name `alias` as the Embedder's model and the Parser's tokenizer, and its token vectors' reranker, if it has one.

    A reranker that is not late interaction stays. `raw` is a checked deployment file, and is changed. Raises
    ModelNotFoundError.
    """
    reranker = _late_interaction_of(alias, catalog)
    for deployment in raw["applications"][0]["deployments"]:
        name, config = deployment["name"], deployment.get("user_config") or {}
        if name == EMBEDDER:
            _configure(deployment, model=alias)
        elif name == PARSER:
            _configure(deployment, tokenizer=alias)
        elif name == RERANKER and reranker and _is_late_interaction(_first(config.get("model")), catalog):
            _configure(deployment, model=reranker)


def missing_package(kind: Literal["embedding", "generation"], alias: str, catalog: Catalog) -> str | None:
    """The package with the model's weights, if the catalog names one that is not installed. Raises as choose_llm."""
    package: str | None = catalog.entry(kind, alias).options.get("package")
    return package if package and importlib.util.find_spec(package) is None else None


def _configure(deployment: dict[str, Any], **options: str) -> None:
    deployment["user_config"] = (deployment.get("user_config") or {}) | options


def _first(model: Any) -> Any:
    """The alias of a stage's model; of a list, the first one."""
    return model[0] if isinstance(model, list) and model else model


def _late_interaction_of(alias: str, catalog: Catalog) -> str | None:
    """The first reranker over the token vectors of this embedding model."""
    options = catalog.entry("embedding", alias).options
    weights = [options.get(name) for name in WEIGHTS]
    return next(
        (
            name
            for name in catalog.names("reranking")
            if _is_late_interaction(name, catalog)
            and [catalog.entry("reranking", name).options.get(option) for option in WEIGHTS] == weights
        ),
        None,
    )


def _is_late_interaction(alias: str | None, catalog: Catalog) -> bool:
    return alias is not None and catalog.entry("reranking", alias).kind == LATE_INTERACTION
