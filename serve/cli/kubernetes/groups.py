"""How many pods a worker group needs: replicas are packed into pods as Ray would place them at its best."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from models.errors import ConfigError
from serve.cli.kubernetes.values import HardwareClass

# Serve's own, where a deployment says nothing.
DEFAULT_NUM_CPUS = 1.0
EPSILON = 1e-9


@dataclass(frozen=True)
class Replica:
    """What one replica of a deployment takes, and how many of them a node may hold."""

    deployment: str
    cpus: float
    gpus: float
    memory_bytes: float
    max_per_node: int | None


@dataclass
class _Pod:
    cpus: float
    gpus: list[float]
    memory_bytes: float
    deployments: list[str] = field(default_factory=list)

    def take(self, replica: Replica) -> bool:
        """Whether the replica went in."""
        gpus = self._gpus_for(replica.gpus)
        full = replica.max_per_node is not None and self.deployments.count(replica.deployment) >= replica.max_per_node
        too_big = replica.cpus > self.cpus + EPSILON or replica.memory_bytes > self.memory_bytes + EPSILON
        if gpus is None or full or too_big:
            return False
        self.cpus, self.memory_bytes, self.gpus = (
            self.cpus - replica.cpus,
            self.memory_bytes - replica.memory_bytes,
            gpus,
        )
        self.deployments.append(replica.deployment)
        return True

    def _gpus_for(self, wanted: float) -> list[float] | None:
        """What is left of each GPU afterwards: a share comes from one of them, whole ones are taken whole."""
        left = sorted(self.gpus)
        if wanted >= 1:
            whole = [share for share in left if share >= 1 - EPSILON]
            return None if len(whole) < wanted - EPSILON else left[: len(left) - round(wanted)]
        for index, share in enumerate(left):
            if share >= wanted - EPSILON:
                return [*left[:index], share - wanted, *left[index + 1 :]]
        return left if wanted == 0 else None


def replica_of(deployment: dict[str, Any]) -> Replica:
    """Raises ConfigError for what this does not place."""
    options = deployment.get("ray_actor_options") or {}
    for key in ("placement_group_bundles", "gang_scheduling_config"):
        if deployment.get(key):
            raise ConfigError(f"deployments ({deployment['name']}).{key}", "is not placed here; ask for whole GPUs")
    num_cpus = options.get("num_cpus")
    return Replica(
        deployment=deployment["name"],
        cpus=DEFAULT_NUM_CPUS if num_cpus is None else num_cpus,
        gpus=options.get("num_gpus") or 0.0,
        memory_bytes=options.get("memory") or 0.0,
        max_per_node=deployment.get("max_replicas_per_node"),
    )


def num_pods(hardware: HardwareClass, replicas: Iterable[Replica]) -> int:
    """Pods of `hardware` that hold `replicas`: first fit, the largest first. Raises ConfigError if one fits none."""
    pods: list[_Pod] = []
    for replica in sorted(replicas, key=lambda one: (one.gpus, one.cpus, one.memory_bytes), reverse=True):
        if any(pod.take(replica) for pod in pods):
            continue
        pod = _Pod(hardware.cpus, [1.0] * hardware.gpus, hardware.memory_bytes)
        if not pod.take(replica):
            raise ConfigError(f"deployments ({replica.deployment})", _too_big(hardware, replica))
        pods.append(pod)
    return len(pods)


def _too_big(hardware: HardwareClass, replica: Replica) -> str:
    wants = f"a replica wants {replica.cpus:g} CPUs, {replica.gpus:g} GPUs, {replica.memory_bytes / 1024**3:.3g} GiB"
    return f"{wants}; a pod of its class has {hardware.cpus} CPUs, {hardware.gpus} GPUs, {hardware.memory}"
