"""The plan, laid over a deployment file."""

import copy
import math
from typing import Any

from deployments.calls.coalescer import CoalescingConfig
from deployments.replica.token_batcher import TokenBatchedConfig
from models.errors import ConfigError
from serve.admission import MAX_QUESTIONS
from serve.cli.capacity.plan import Plan, StagePlan
from serve.cli.capacity.profile import COALESCED, DEPLOYMENTS
from serve.config_file import check

CLASS_LABEL = "ragserve/class"  # as in kuberay/: a node's label, by which a stage finds its hardware


def apply_plan(raw: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """`raw` with the plan's replicas, batches, shares, shards and classes. Raises ConfigError if it is refused then.

    Every other key stays. A stage that had more replicas at most may still grow to them.
    """
    planned = copy.deepcopy(raw)
    application = planned["applications"][0]
    _spread_dense(application, plan.stages["dense"].shards)
    for deployment in application["deployments"]:
        for name, stage in plan.stages.items():
            if deployment["name"].split("-")[0] == DEPLOYMENTS[name]:
                _lay_stage(deployment, stage, len(plan.hardware.classes) > 1)
    _bound_messages(application, plan)
    _bound_admission(application, plan)
    problems = check(planned)
    if problems:
        raise ConfigError("the plan's deployment file", "\n  ".join(["is refused", *map(str, problems)]))
    return planned


def _spread_dense(application: dict[str, Any], shards: int) -> None:
    """As many DenseSearchers as there are shards, each like the first."""
    name = DEPLOYMENTS["dense"]
    application.setdefault("args", {}).setdefault("search", {})["dense_shards"] = shards
    others = [one for one in application["deployments"] if one["name"].split("-")[0] != name]
    first = next(one for one in application["deployments"] if one["name"] == name)
    names = [name, *(f"{name}-{number}" for number in range(1, shards))]
    application["deployments"] = others + [copy.deepcopy(first) | {"name": one} for one in names]


def _lay_stage(deployment: dict[str, Any], stage: StagePlan, is_mixed: bool) -> None:
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
    if is_mixed:
        options["label_selector"] = {CLASS_LABEL: stage.hardware}
    # Two batches: one that is computed, one that gathers.
    deployment["max_ongoing_requests"] = max(deployment.get("max_ongoing_requests", 1), 2 * stage.batch)
    _lay_batch(deployment, stage)


def _lay_batch(deployment: dict[str, Any], stage: StagePlan) -> None:
    """Searchers batch by queries, models by tokens; a generator's engine by itself."""
    if stage.stage in ("dense", "lexical"):
        deployment.setdefault("user_config", {})["max_batch_size"] = stage.batch
    elif stage.times.tokens_per_item is not None:
        user_config = deployment.setdefault("user_config", {})
        now = user_config.get("max_batch_tokens", TokenBatchedConfig().max_batch_tokens)
        # Never less than it was: documents share the forward passes, and are longer than questions.
        user_config["max_batch_tokens"] = max(now, stage.batch * stage.times.tokens_per_item)


def _bound_messages(application: dict[str, Any], plan: Plan) -> None:
    coalescing = application["args"].setdefault("coalescing", {})
    coalescing["max_items"] = max_items(plan, coalescing.get("max_items", CoalescingConfig().max_items))


def _bound_admission(application: dict[str, Any], plan: Plan) -> None:
    most = max_questions(plan)
    application["args"].setdefault("admission", {})["max_questions"] = most
    ingress = next(one for one in application["deployments"] if one["name"] == DEPLOYMENTS["ingress"])
    # Where the file allows another ingress, it comes before anything is refused.
    ingress.setdefault("autoscaling_config", {})["target_ongoing_requests"] = max(1, most // 2)


def max_questions(plan: Plan) -> int:
    """What one ingress takes on: what the whole path, at its most, answers within the latency wanted (Little's law).

    Any more could only be late. Yet as many as fill every stage's batches, for full ones are the cheapest.
    """
    under_way = max(plan.per_s * plan.target.latency_s, *map(_num_to_fill, plan.stages.values()))
    return min(MAX_QUESTIONS, math.ceil(under_way / plan.stages["ingress"].replicas))


def _num_to_fill(stage: StagePlan) -> int:
    """A batch that is computed and one that gathers; an engine that batches continuously has room for one."""
    return (1 if stage.times.is_continuous else 2) * stage.replicas * stage.batch


def max_items(plan: Plan, now: int) -> int:
    """A message goes to one replica, so where there are several it is not to be more than a batch of theirs."""
    spread = [plan.stages[name].batch for name in COALESCED if plan.stages[name].replicas > 1]
    return min(now, *spread) if spread else now
