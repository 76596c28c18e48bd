"""The values of a deployment file, each by itself: what Serve's schema refuses, and what only this service refuses."""

from collections.abc import Iterator
from typing import Any

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
from models.errors.suggestions import did_you_mean
from serve.config_models import STAGES, inline_stages
from serve.config_texts import literal_variables
from serve.settings import IngressConfig, SearchConfig, Settings

MAX_PORT = 65_535
MAX_INTEGER = 2**31 - 1  # of Serve's messages
INTEGERS = ("max_ongoing_requests", "max_queued_requests", "max_replicas_per_node")
SECONDS = ("graceful_shutdown_timeout_s", "health_check_period_s", "health_check_timeout_s")
DAY_S = 86_400
NUMBERS_OF_REPLICAS = ("min_replicas", "initial_replicas", "max_replicas")
LATENCY_BUDGET_POLICY = f"{LatencyBudgetPolicy.__module__}:{LatencyBudgetPolicy.__name__}"
INGRESS = "Ingress"
EMPTY = "is empty; it must list the application"


def check_shape(raw: dict[str, Any]) -> list[Problem]:
    """Every value that is wrong by itself, and every name. Without a problem, the file has the shape of its configs."""
    problems = [*check_deploy_schema(raw), *literal_variables(raw)]
    if problems:
        return problems  # the checks below need the shape that Serve reads
    applications = raw["applications"]
    if len(applications) != 1:
        message = f"must list one application, not {len(applications)}; another one needs a service of its own"
        return [Problem("applications", EMPTY if not applications else message)]
    return [*_check_server(raw), *_check_application(applications[0], "applications[0]")]


def check_settings(raw: dict[str, Any]) -> list[Problem]:
    """As check_shape, of what makes the settings alone: a command beside the service needs no more."""
    problems = check_deploy_schema(raw)
    if problems or not raw["applications"]:
        return problems or [Problem("applications", EMPTY)]
    application = raw["applications"][0]
    user_configs = [each.get("user_config") or {} for each in application.get("deployments") or [] if _is_ingress(each)]
    problems = _check_config(application.get("args") or {}, Settings, "applications[0].args")
    for user_config in user_configs:
        problems += _check_config(user_config, IngressConfig, "applications[0].deployments (Ingress).user_config")
    return problems


def _is_ingress(deployment: dict[str, Any]) -> bool:
    return bool(deployment["name"] == INGRESS)


def _check_config(value: Any, model: type[Any], where: str) -> list[Problem]:
    return [*unknown_keys(value, model, where), *invalid_values(value, model, where)]


def _check_server(raw: dict[str, Any]) -> Iterator[Problem]:
    """Serve's schema takes any number, any host, and a service without a proxy."""
    options = raw.get("http_options") or {}
    port, host = options.get("port"), options.get("host")
    if port is not None and not 1 <= port <= MAX_PORT:
        yield Problem("http_options.port", f"{port} must be from 1 to {MAX_PORT}")
    if host is not None and (not host or any(character.isspace() for character in host)):
        message = f"{host!r} is no address; 127.0.0.1 is this machine alone, 0.0.0.0 everybody"
        yield Problem("http_options.host", message)
    if str(raw.get("proxy_location", "")).endswith("Disabled"):
        yield Problem("proxy_location", "Disabled: no request would reach the service; use HeadOnly or EveryNode")


def _check_application(application: dict[str, Any], where: str) -> Iterator[Problem]:
    yield from _check_route(application, f"{where}.route_prefix")
    arguments = application.get("args") or {}
    yield from _check_config(arguments, Settings, f"{where}.args")
    deployments = application.get("deployments") or []
    stages = _deployments_of(arguments)
    for index, deployment in enumerate(deployments):
        yield from _check_deployment(deployment, stages, f"{where}.deployments[{index}]")


def _check_route(application: dict[str, Any], where: str) -> Iterator[Problem]:
    prefix = application.get("route_prefix", "/")
    if prefix != "/":
        message = f"{prefix!r} must be '/': clients and probes call /v1 and /readyz. A proxy in front can add a prefix"
        yield Problem(where, message)


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
    yield from _check_config(deployment.get("user_config") or {}, stages[name], f"{where}.user_config")
    yield from _check_largest(deployment, INTEGERS, MAX_INTEGER, where)
    yield from _check_largest(deployment, SECONDS, DAY_S, where)
    yield from _check_autoscaling(deployment, f"{where}.autoscaling_config")
    yield from _check_resources(deployment.get("ray_actor_options") or {}, f"{where}.ray_actor_options")


def _check_autoscaling(deployment: dict[str, Any], where: str) -> Iterator[Problem]:
    autoscaling = deployment.get("autoscaling_config")
    if not autoscaling:
        # Adding it later restarts the whole application; changing its numbers restarts nothing.
        yield Problem(where, "must be declared, even for a fixed number of replicas: set min_replicas = max_replicas")
        return
    problems = check_autoscaling(autoscaling, where)
    yield from problems
    yield from _check_policy(autoscaling.get("policy"), f"{where}.policy")
    if not problems:
        yield from _check_largest(autoscaling, NUMBERS_OF_REPLICAS, MAX_INTEGER, where)
        yield from _check_some_ingress(deployment, where)


def _check_some_ingress(deployment: dict[str, Any], where: str) -> Iterator[Problem]:
    for name in NUMBERS_OF_REPLICAS:
        if _is_ingress(deployment) and deployment["autoscaling_config"].get(name) == 0:
            message = "must be at least 1: the ingress also ingests files, sends events and makes backups"
            yield Problem(f"{where}.{name}", message)


def _check_largest(values: dict[str, Any], names: tuple[str, ...], most: int, where: str) -> Iterator[Problem]:
    """Serve's schema has no upper bounds."""
    for name in names:
        if isinstance(values.get(name), int | float) and values[name] > most:
            yield Problem(f"{where}.{name}", f"{values[name]:g} must be at most {most}")


def _check_policy(policy: Any, where: str) -> Iterator[Problem]:
    """The arguments of our own policy, which Serve passes on unchecked."""
    if isinstance(policy, dict) and policy.get("policy_function") == LATENCY_BUDGET_POLICY:
        yield from _check_config(policy.get("policy_kwargs") or {}, LatencyBudgetConfig, f"{where}.policy_kwargs")


def _check_resources(options: dict[str, Any], where: str) -> Iterator[Problem]:
    num_gpus = options.get("num_gpus") or 0
    if num_gpus > 1 and num_gpus != int(num_gpus):
        yield Problem(f"{where}.num_gpus", f"{num_gpus:g} is not possible; use a fraction of one GPU, or whole GPUs")
    if options.get("num_cpus") == 0 and not num_gpus:
        yield Problem(
            f"{where}.num_cpus", "0 lets Ray place any number of replicas on one node; set a fraction of a CPU"
        )


def check_names(arguments: dict[str, Any], deployments: list[dict[str, Any]], where: str) -> Iterator[Problem]:
    """Deployments that the settings make and the file does not have, or has twice."""
    stages = _deployments_of(arguments)
    names = [deployment["name"] for deployment in deployments]
    for name in stages:
        if names.count(name) != 1:
            problem = "is missing; Serve would use its own defaults" if name not in names else "appears more than once"
            yield Problem(f"{where}.deployments", f"{name} {problem}")
