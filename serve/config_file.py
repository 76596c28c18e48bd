"""Reads and checks serve_config.yaml. Ray Serve silently drops keys that it does not know; this module names them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from deployments.autoscaling import LatencyBudgetConfig, LatencyBudgetPolicy
from deployments.cluster.strict_schema import (
    Problem,
    check_autoscaling,
    check_deploy_schema,
    invalid_values,
    unknown_keys,
)
from deployments.dense_searcher import DenseSearcherConfig
from deployments.lexical_searcher import LexicalSearcherConfig
from deployments.replica.user_config import StageConfig
from models.errors.configuration import ConfigError
from models.errors.suggestions import did_you_mean
from serve.config_conflicts import check_conflicts
from serve.config_models import STAGES, check_models, inline_stages
from serve.settings import SearchConfig, Settings

MAX_PORT = 65_535
LATENCY_BUDGET_POLICY = f"{LatencyBudgetPolicy.__module__}:{LatencyBudgetPolicy.__name__}"


@dataclass(frozen=True)
class Machine:
    """The machine that the replicas must fit on."""

    num_cpus: float
    num_gpus: float


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is no text, and one that appears twice: YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} must be a text", key_node.start_mark)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


def read(path: Path) -> dict[str, Any]:
    """The file's content. Raises ConfigError if it is not a YAML mapping."""
    try:
        raw = yaml.load(path.read_text(), _StrictLoader)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(str(path), f"is not YAML: {_yaml_problem(error)}") from None
    if not isinstance(raw, dict):
        raise ConfigError(str(path), "must be a mapping with `applications`")
    return raw


def _yaml_problem(error: Exception) -> str:
    """The parser's message on one line, with its place."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    problem = error.problem or error.context  # type: ignore[attr-defined]
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


def check(raw: dict[str, Any], machine: Machine | None = None) -> list[Problem]:
    """Every problem of the file; with `machine`, also whether the replicas fit on it. Empty: it can be served."""
    problems = check_deploy_schema(raw)
    if problems:
        return problems  # the checks below need the shape that Serve reads
    if not raw.get("applications"):
        return [Problem("applications", "is empty; it must list the application")]
    for index, application in enumerate(raw["applications"]):
        where = f"applications[{index}]"
        problems += _check_application(application, where)
        problems += _check_route(application, f"{where}.route_prefix")
        if machine is not None:
            problems += _check_fit(application.get("deployments") or [], machine, where)
    return [*problems, *_check_port(raw.get("http_options") or {}), *check_conflicts(raw)]


def _check_port(http_options: dict[str, Any]) -> Iterator[Problem]:
    """Serve's schema takes any number."""
    port = http_options.get("port")
    if port is not None and not 1 <= port <= MAX_PORT:
        yield Problem("http_options.port", f"{port} must be from 1 to {MAX_PORT}")


def _check_route(application: dict[str, Any], where: str) -> Iterator[Problem]:
    prefix = application.get("route_prefix", "/")
    if not isinstance(prefix, str) or not prefix.startswith("/"):
        yield Problem(where, f"{prefix!r} must begin with '/': without it no request reaches the service")


def settings_of(raw: dict[str, Any]) -> Settings:
    """The settings that the first application starts with: its `args`, and Ingress's user_config over them.

    Raises ValidationError or ConfigError if the file was not checked.
    """
    application = raw["applications"][0]
    deployments = application.get("deployments") or []
    user_config = next((entry.get("user_config") for entry in deployments if entry["name"] == "Ingress"), None)
    return Settings(**(application.get("args") or {})).with_user_config(user_config)


def _check_application(application: dict[str, Any], where: str) -> Iterator[Problem]:
    arguments = application.get("args") or {}
    yield from unknown_keys(arguments, Settings, f"{where}.args")
    yield from invalid_values(arguments, Settings, f"{where}.args")
    deployments = application.get("deployments") or []
    stages = _deployments_of(arguments)
    for index, deployment in enumerate(deployments):
        yield from _check_deployment(deployment, stages, f"{where}.deployments[{index}]")
    yield from _check_names(deployments, stages, where)
    yield from _check_milvus(arguments, deployments, where)
    yield from check_models(arguments, deployments, where)


def _deployments_of(arguments: dict[str, Any]) -> dict[str, type[StageConfig]]:
    """The deployments that these settings make: one for each shard, and none for an inline stage."""
    try:
        search = SearchConfig(**(arguments.get("search") or {}))
    except (ValidationError, TypeError):
        return STAGES  # the settings' own check reports this
    shards = dict.fromkeys(search.dense(), DenseSearcherConfig) | dict.fromkeys(search.lexical(), LexicalSearcherConfig)
    stages = STAGES | shards
    return {name: config for name, config in stages.items() if name not in inline_stages(arguments)}


def _check_deployment(
    deployment: dict[str, Any], stages: dict[str, type[StageConfig]], where: str
) -> Iterator[Problem]:
    name = deployment["name"]
    if name not in stages and name in STAGES:
        yield Problem(
            f"{where}.name", f"{name} is inline (args.inline); remove this deployment, or remove it from args.inline"
        )
        return
    if name not in stages:
        yield Problem(f"{where}.name", f"no deployment named {name!r}{did_you_mean(name, stages)}")
        return
    where = f"{where} ({name})"
    user_config = deployment.get("user_config") or {}
    yield from unknown_keys(user_config, stages[name], f"{where}.user_config")
    yield from invalid_values(user_config, stages[name], f"{where}.user_config")
    yield from _check_autoscaling(deployment.get("autoscaling_config"), f"{where}.autoscaling_config")
    yield from _check_resources(deployment.get("ray_actor_options") or {}, f"{where}.ray_actor_options")


def _check_autoscaling(autoscaling: dict[str, Any] | None, where: str) -> Iterator[Problem]:
    if not autoscaling:
        # Adding it later restarts the whole application; changing its numbers restarts nothing.
        yield Problem(where, "must be declared, even for a fixed number of replicas: set min_replicas = max_replicas")
    else:
        yield from check_autoscaling(autoscaling, where)
        yield from _check_policy(autoscaling.get("policy"), f"{where}.policy")


def _check_policy(policy: Any, where: str) -> Iterator[Problem]:
    """The arguments of our own policy, which Serve passes on unchecked."""
    if isinstance(policy, dict) and policy.get("policy_function") == LATENCY_BUDGET_POLICY:
        kwargs = policy.get("policy_kwargs") or {}
        yield from unknown_keys(kwargs, LatencyBudgetConfig, f"{where}.policy_kwargs")
        yield from invalid_values(kwargs, LatencyBudgetConfig, f"{where}.policy_kwargs")


def _check_resources(options: dict[str, Any], where: str) -> Iterator[Problem]:
    num_gpus = options.get("num_gpus") or 0
    if num_gpus > 1 and num_gpus != int(num_gpus):
        yield Problem(f"{where}.num_gpus", f"{num_gpus:g} is not possible; use a fraction of one GPU, or whole GPUs")
    if options.get("num_cpus") == 0 and not num_gpus:
        yield Problem(
            f"{where}.num_cpus", "0 lets Ray place any number of replicas on one node; set a fraction of a CPU"
        )


def _check_names(
    deployments: list[dict[str, Any]], stages: dict[str, type[StageConfig]], where: str
) -> Iterator[Problem]:
    names = [deployment["name"] for deployment in deployments]
    for name in stages:
        if names.count(name) != 1:
            problem = "is missing; Serve would use its own defaults" if name not in names else "appears more than once"
            yield Problem(f"{where}.deployments", f"{name} {problem}")


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
