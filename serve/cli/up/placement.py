"""How `ragserve up` fits the service to a machine of few cores.

A message costs more there than a search, so the searchers run inside the ingress. And the embedder may use every core:
its threads for documents are nicer than all others, so ingestion takes only what questions leave.
"""

import os
from typing import Any, Literal

Placement = Literal["auto", "configured"]

SMALL_MACHINE_CPUS = 4  # more cores carry more than one ingress, and each would have its own indexes
EMBEDDER = "Embedder"
THREADS = "OMP_NUM_THREADS"  # Ray sets it to a replica's CPUs if it is not set
SEARCHERS = ("DenseSearcher", "LexicalSearcher")


def place_searchers(raw: dict[str, Any], num_cpus: float) -> tuple[str, ...]:
    """Move the searchers from `deployments` to `args.inline` on a small machine. Return the names of those moved.

    `raw` is a checked deployment file, and is changed. A searcher with shards, several replicas or a GPU stays, and so
    do both with Milvus: its file may be open in one process only, also while the ingress is replaced.
    """
    application = raw["applications"][0]
    arguments = application.setdefault("args", {})
    deployments = application["deployments"]
    if num_cpus > SMALL_MACHINE_CPUS or (arguments.get("storage") or {}).get("milvus"):
        return ()
    names = [deployment["name"] for deployment in deployments]
    moved = {
        deployment["name"]: deployment.get("user_config") or {}
        for deployment in deployments
        if deployment["name"] in SEARCHERS and _is_small(deployment, names)
    }
    if moved:
        arguments["inline"] = (arguments.get("inline") or {}) | moved
        application["deployments"] = [entry for entry in deployments if entry["name"] not in moved]
    return tuple(moved)


def give_threads(raw: dict[str, Any], num_cpus: float) -> None:
    """Give the embedder's replicas a thread for each core of a small machine.

    `raw` is as in place_searchers. OMP_NUM_THREADS, in the environment or in the file, stays as it is.
    """
    if num_cpus > SMALL_MACHINE_CPUS or THREADS in os.environ:
        return
    embedders = [entry for entry in raw["applications"][0]["deployments"] if entry["name"] == EMBEDDER]
    for deployment in embedders:
        options = deployment.setdefault("ray_actor_options", {})
        if not options.get("num_gpus"):
            options["runtime_env"] = environment = options.get("runtime_env") or {}
            environment["env_vars"] = {THREADS: str(max(1, int(num_cpus)))} | (environment.get("env_vars") or {})


def _is_small(deployment: dict[str, Any], names: list[str]) -> bool:
    is_sharded = any(name.startswith(f"{deployment['name']}-") for name in names)
    max_replicas = (deployment.get("autoscaling_config") or {}).get("max_replicas", 1)
    num_gpus = (deployment.get("ray_actor_options") or {}).get("num_gpus") or 0
    return not is_sharded and max_replicas == 1 and not num_gpus
