"""Pack replicas onto nodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from serve.cli.capacity.hardware import NodeClass

SLACK = 1e-9


@dataclass(frozen=True)
class Need:
    """The resources that a replica reserves. `name` is its stage's name."""

    name: str
    cpus: float
    gpus: float
    memory_gb: float

    def fraction_of(self, node: NodeClass) -> float:
        """The largest fraction of a resource of an empty node. Infinite if the replica does not fit."""
        fractions = [self.cpus / node.cpus, self.memory_gb / node.memory_gb]
        if self.gpus:
            fractions.append(self.gpus / node.gpus if node.gpus else float("inf"))
        return max(fractions) if max(fractions) <= 1 + SLACK else float("inf")


@dataclass
class PackedNode:
    """The free resources of one node, and the names of its replicas."""

    cpus: float
    memory_gb: float
    gpus: list[float]  # free fraction of each GPU
    names: list[str] = field(default_factory=list)

    def take(self, need: Need) -> bool:
        """Place a replica if it fits. A fraction of a GPU comes from one GPU; more than one GPU are whole GPUs."""
        if need.cpus > self.cpus + SLACK or need.memory_gb > self.memory_gb + SLACK:
            return False
        indexes = self._gpus_for(need.gpus)
        if indexes is None:
            return False
        for index in indexes:
            self.gpus[index] -= min(1.0, need.gpus)
        self.cpus -= need.cpus
        self.memory_gb -= need.memory_gb
        self.names.append(need.name)
        return True

    def _gpus_for(self, gpus: float) -> list[int] | None:
        """Indexes of the GPUs to use: those with the least free fraction that is enough. None if there are too few."""
        fraction, count = min(1.0, gpus), max(1, round(gpus)) if gpus else 0
        fitting = [index for index, free in enumerate(self.gpus) if free + SLACK >= fraction]
        return sorted(fitting, key=lambda index: self.gpus[index])[:count] if len(fitting) >= count else None


def pack(needs: Sequence[Need], node: NodeClass) -> list[PackedNode]:
    """First fit decreasing: at most 11/9 of the minimum number of nodes in one dimension (Johnson, 1973).

    Every need must fit on an empty node.
    """
    nodes: list[PackedNode] = []
    for need in sorted(needs, key=lambda need: -need.fraction_of(node)):
        if not any(opened.take(need) for opened in nodes):
            nodes.append(PackedNode(node.cpus, node.memory_gb, [1.0] * node.gpus))
            nodes[-1].take(need)
    return nodes
