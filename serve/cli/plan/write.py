"""Apply a plan to a deployment file."""

import copy
import math
from typing import Any

from deployments.calls.coalescer import CoalescingConfig
from deployments.replica.user_config import TokenBatchedConfig
from models.errors.configuration import ConfigError
from serve.admission import MAX_QUESTIONS
from serve.cli.capacity.plan import Plan, StagePlan
from serve.cli.capacity.profile import DEPLOYMENTS, SHARDED, StageName
from serve.config_file import check

CLASS_LABEL = "ragserve/class"  # the node label that selects a class, as in kuberay/


def apply_plan(raw: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """`raw` with the plan's replicas, batches, resources, shards and classes; all other keys stay.

    A stage keeps its max_replicas if that is higher than the plan's. Raises ConfigError if the result is invalid.
    """
    planned = copy.deepcopy(raw)
    application = planned["applications"][0]
    for name in SHARDED:
        _set_shards(application, name, plan.stages[name].shards)
    for deployment in application["deployments"]:
        for name, stage in plan.stages.items():
            if deployment["name"].split("-")[0] == DEPLOYMENTS[name]:
                _apply_stage(deployment, stage, len(plan.hardware.classes) > 1)
    _limit_messages(application, plan)
    _limit_admission(application, plan)
    problems = check(planned)
    if problems:
        raise ConfigError("the planned deployment file", "\n  ".join(["is invalid:", *map(str, problems)]))
    return planned


def max_questions(plan: Plan) -> int:
    """Concurrent questions per ingress: the number that the path answers within the target latency (Little's law).

    A further question would be late. At least as many questions as fill every stage's batches, which is cheapest.
    """
    concurrent = max(plan.per_s * plan.target.latency_s, *map(_num_to_fill, plan.stages.values()))
    return min(MAX_QUESTIONS, math.ceil(concurrent / plan.stages["ingress"].replicas))


def _set_shards(application: dict[str, Any], stage: StageName, shards: int) -> None:
    """One searcher per shard, each a copy of the first."""
    kind = DEPLOYMENTS[stage]
    application.setdefault("args", {}).setdefault("search", {})[f"{stage}_shards"] = shards
    deployments = application["deployments"]
    first = next(deployment for deployment in deployments if deployment["name"] == kind)
    names = [kind, *(f"{kind}-{number}" for number in range(1, shards))]
    application["deployments"] = [
        *(deployment for deployment in deployments if deployment["name"].split("-")[0] != kind),
        *(copy.deepcopy(first) | {"name": name} for name in names),
    ]


def _apply_stage(deployment: dict[str, Any], stage: StagePlan, has_classes: bool) -> None:
    autoscaling = deployment.setdefault("autoscaling_config", {})
    autoscaling.pop("initial_replicas", None)
    autoscaling["min_replicas"] = stage.replicas
    autoscaling["max_replicas"] = max(stage.replicas, autoscaling.get("max_replicas", 1))
    options = deployment.setdefault("ray_actor_options", {})
    options["num_cpus"] = stage.num_cpus
    if stage.times.gpus:
        options["num_gpus"] = stage.times.gpus
    else:
        options.pop("num_gpus", None)
    if has_classes:
        options["label_selector"] = {CLASS_LABEL: stage.hardware}
    # Two batches: one is computed while the next one fills.
    deployment["max_ongoing_requests"] = max(deployment.get("max_ongoing_requests", 1), 2 * stage.batch)
    _apply_batch(deployment, stage)


def _apply_batch(deployment: dict[str, Any], stage: StagePlan) -> None:
    """Searchers batch by queries, models by tokens. An LLM engine sets its own batches."""
    if stage.stage in SHARDED:
        # A query may come in two rounds, and a batch has both kinds of messages.
        deployment.setdefault("user_config", {})["max_batch_size"] = stage.batch * stage.num_rounds
    elif stage.times.tokens_per_item is not None:
        user_config = deployment.setdefault("user_config", {})
        configured = user_config.get("max_batch_tokens", TokenBatchedConfig().max_batch_tokens)
        # Never lower it: documents share the forward passes, and are longer than questions.
        user_config["max_batch_tokens"] = max(configured, stage.batch * stage.times.tokens_per_item)


def _limit_messages(application: dict[str, Any], plan: Plan) -> None:
    coalescing = application["args"].setdefault("coalescing", {})
    coalescing["max_items"] = plan.max_message_items(coalescing.get("max_items", CoalescingConfig().max_items))


def _limit_admission(application: dict[str, Any], plan: Plan) -> None:
    limit = max_questions(plan)
    ingress = next(each for each in application["deployments"] if each["name"] == DEPLOYMENTS["ingress"])
    ingress.setdefault("user_config", {}).setdefault("admission", {})["max_questions"] = limit
    # The ingress scales out, where the file allows it, before it refuses questions.
    ingress.setdefault("autoscaling_config", {})["target_ongoing_requests"] = max(1, limit // 2)


def _num_to_fill(stage: StagePlan) -> int:
    """Queries that fill the running batch and the next one. Continuous batching has only the running batch."""
    return (1 if stage.times.is_continuous else 2) * stage.replicas * stage.batch
