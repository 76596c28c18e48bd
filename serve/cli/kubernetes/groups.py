"""The number of pods of a worker group: replicas are packed into pods as densely as Ray can place them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from models.errors.configuration import ConfigError
from serve.cli.kubernetes.values import HardwareClass

# Serve's default.
DEFAULT_NUM_CPUS = 1.0
EPSILON = 1e-9


@dataclass(frozen=True)
class Replica:
    """The resources of one replica of a deployment, and how many of these replicas a node may hold."""

    deployment: str
    cpus: float
    gpus: float
    memory_bytes: float
    max_per_node: int | None


@dataclass
class _Pod:
    """Free resources of a pod, and the deployments of its replicas. `gpus`: the free fraction of each GPU."""

    cpus: float
    gpus: list[float]
    memory_bytes: float
    deployments: list[str] = field(default_factory=list)

    def take(self, replica: Replica) -> bool:
        """Place the replica if it fits; returns whether it did."""
        gpus = self._gpus_for(replica.gpus)
        is_full = (
            replica.max_per_node is not None and self.deployments.count(replica.deployment) >= replica.max_per_node
        )
        is_too_big = replica.cpus > self.cpus + EPSILON or replica.memory_bytes > self.memory_bytes + EPSILON
        if gpus is None or is_full or is_too_big:
            return False
        self.cpus -= replica.cpus
        self.memory_bytes -= replica.memory_bytes
        self.gpus = gpus
        self.deployments.append(replica.deployment)
        return True

    def _gpus_for(self, num_gpus: float) -> list[float] | None:
        """The free fractions after placing `num_gpus`; None if it does not fit. A fraction comes from one GPU."""
        free = sorted(self.gpus)
        if num_gpus >= 1:
            whole = [fraction for fraction in free if fraction >= 1 - EPSILON]
            return None if len(whole) < num_gpus - EPSILON else free[: len(free) - round(num_gpus)]
        for index, fraction in enumerate(free):
            if fraction >= num_gpus - EPSILON:
                return [*free[:index], fraction - num_gpus, *free[index + 1 :]]
        return free if num_gpus == 0 else None


def replica_of(deployment: dict[str, Any]) -> Replica:
    """The replica of a deployment. Raises ConfigError for options that are not supported here."""
    options = deployment.get("ray_actor_options") or {}
    for key in ("placement_group_bundles", "gang_scheduling_config"):
        if deployment.get(key):
            raise ConfigError(
                f"deployments ({deployment['name']}).{key}", "is not supported; use num_gpus with whole GPUs instead"
            )
    num_cpus = options.get("num_cpus")
    return Replica(
        deployment=deployment["name"],
        cpus=DEFAULT_NUM_CPUS if num_cpus is None else num_cpus,
        gpus=options.get("num_gpus") or 0.0,
        memory_bytes=options.get("memory") or 0.0,
        max_per_node=deployment.get("max_replicas_per_node"),
    )


def num_pods(hardware: HardwareClass, replicas: Iterable[Replica]) -> int:
    """Number of pods for `replicas`: first fit decreasing. Raises ConfigError if a replica is larger than a pod."""
    pods: list[_Pod] = []
    for replica in sorted(
        replicas, key=lambda replica: (replica.gpus, replica.cpus, replica.memory_bytes), reverse=True
    ):
        if any(pod.take(replica) for pod in pods):
            continue
        pod = _Pod(hardware.cpus, [1.0] * hardware.gpus, hardware.memory_bytes)
        if not pod.take(replica):
            raise ConfigError(f"deployments ({replica.deployment})", _too_big(hardware, replica))
        pods.append(pod)
    return len(pods)


def _too_big(hardware: HardwareClass, replica: Replica) -> str:
    needs = f"a replica needs {replica.cpus:g} CPUs, {replica.gpus:g} GPUs, {replica.memory_bytes / 1024**3:.3g} GiB"
    return f"{needs}; a pod of its class has {hardware.cpus} CPUs, {hardware.gpus} GPUs, {hardware.memory}"
