"""Reads and checks serve_config.yaml. Ray Serve silently drops keys that it does not know; this module names them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.cluster.strict_schema import Problem
from models.errors.configuration import ConfigError
from models.strict_yaml import read_strictly
from serve.config_conflicts import check_conflicts
from serve.config_models import check_models, inline_stages
from serve.config_shape import check_names, check_settings, check_shape
from serve.settings import Settings

MAX_BYTES = 1024**2  # reading more would take seconds
EMPTY_SECTIONS = ("user_config", "ray_actor_options")  # of a deployment: a section whose lines are all commented out


@dataclass(frozen=True)
class Machine:
    """The machine that the replicas must fit on."""

    num_cpus: float
    num_gpus: float


def read(path: Path) -> dict[str, Any]:
    """The file's content. Raises ConfigError if it is not a YAML mapping."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(str(path), f"has more than {MAX_BYTES} bytes: it is no deployment file")
        raw = read_strictly(path.read_text())
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(str(path), f"is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(str(path), "must be a mapping with `applications`")
    _drop_empty_sections(raw)
    return raw


def _drop_empty_sections(raw: dict[str, Any]) -> None:
    """A section without a value is as absent. `raw` may have any shape, and is changed."""
    applications = raw.get("applications")
    for application in applications if isinstance(applications, list) else ():
        deployments = application.get("deployments") if isinstance(application, dict) else None
        for deployment in deployments if isinstance(deployments, list) else ():
            for section in EMPTY_SECTIONS if isinstance(deployment, dict) else ():
                if deployment.get(section, section) is None:
                    del deployment[section]


def check(raw: dict[str, Any], machine: Machine | None = None) -> list[Problem]:
    """Every problem of the file; with `machine`, also whether it can be served there. Empty: it can be served."""
    return check_shape(raw) or list(_check_together(raw, machine))


def _check_together(raw: dict[str, Any], machine: Machine | None) -> Iterator[Problem]:
    """The values of a file in the right shape, against each other and the catalog."""
    application, where = raw["applications"][0], "applications[0]"
    arguments, deployments = application.get("args") or {}, application.get("deployments") or []
    yield from check_names(arguments, deployments, where)
    yield from _check_milvus(arguments, deployments, where)
    yield from check_models(arguments, deployments, where)
    if machine is not None:
        yield from _check_fit(deployments, machine, where)
    yield from check_conflicts(raw, is_local=machine is not None)


def read_settings(path: Path) -> Settings:
    """The settings of a deployment file, for a command beside its service. Raises ConfigError with every problem.

    The rest of the file may need another machine: its models, its catalog.
    """
    raw = read(path)
    problems = check_settings(raw)
    if problems:
        raise ConfigError(str(path), "\n  ".join(["is invalid:", *map(str, problems)]))
    return settings_of(raw)


def settings_of(raw: dict[str, Any]) -> Settings:
    """The settings that the first application starts with: its `args`, and Ingress's user_config over them.

    Raises ValidationError or ConfigError if the file was not checked.
    """
    application = raw["applications"][0]
    deployments = application.get("deployments") or []
    user_config = next((entry.get("user_config") for entry in deployments if entry["name"] == "Ingress"), None)
    return Settings(**(application.get("args") or {})).with_user_config(user_config)


def _check_milvus(arguments: dict[str, Any], deployments: list[dict[str, Any]], where: str) -> Iterator[Problem]:
    """Milvus distributes its data itself. Only one process may open a file of Milvus Lite."""
    milvus = (arguments.get("storage") or {}).get("milvus") or {}
    if not milvus:
        return
    for key in ("dense_shards", "lexical_shards"):
        if (arguments.get("search") or {}).get(key, 1) != 1:
            yield Problem(f"{where}.args.search.{key}", "must be 1 with Milvus, which distributes its data itself")
    if str(milvus.get("uri", "")).endswith(".db"):
        yield from _check_milvus_lite(arguments, deployments, where)


def _check_milvus_lite(arguments: dict[str, Any], deployments: list[dict[str, Any]], where: str) -> Iterator[Problem]:
    """Only one process may open its file, also while a replica is replaced."""
    name = "Ingress" if "DenseSearcher" in inline_stages(arguments) else "DenseSearcher"
    for deployment in (entry for entry in deployments if entry["name"] == name):
        if _max_replicas(deployment) != 1:
            message = f"only one process can open Milvus Lite, but {name} has max_replicas {_max_replicas(deployment)}"
            yield Problem(f"{where}.args.storage.milvus.uri", message)
        if deployment.get("max_surge_percent"):
            message = "must be 0: only one process can open Milvus Lite, so the old replica must stop first"
            yield Problem(f"{where}.deployments ({name}).max_surge_percent", message)


def _max_replicas(deployment: dict[str, Any]) -> int:
    return (deployment.get("autoscaling_config") or {}).get("max_replicas", 1)


def _check_fit(deployments: list[dict[str, Any]], machine: Machine, where: str) -> Iterator[Problem]:
    """Refuse replicas that do not fit on the machine: Serve would wait for them without end."""
    for resource, available in (("num_cpus", machine.num_cpus), ("num_gpus", machine.num_gpus)):
        needs = {deployment["name"]: _needed(deployment, resource) for deployment in deployments}
        total = sum(needs.values())
        if total > available:
            amounts = ", ".join(f"{name} {amount:g}" for name, amount in needs.items() if amount)
            message = f"the first replicas need {total:g} {resource}, the machine has {available:g}: {amounts}"
            yield Problem(f"{where}.deployments", message)


def _needed(deployment: dict[str, Any], resource: str) -> float:
    """The amount of the resource that the deployment's first replicas take."""
    autoscaling = deployment.get("autoscaling_config") or {}
    replicas = autoscaling.get("initial_replicas") or autoscaling.get("min_replicas", 1)
    default = 1.0 if resource == "num_cpus" else 0.0  # Serve's own
    amount = (deployment.get("ray_actor_options") or {}).get(resource)
    return replicas * (default if amount is None else amount)
