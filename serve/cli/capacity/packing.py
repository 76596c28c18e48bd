"""Replicas onto nodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from serve.cli.capacity.hardware import NodeClass

SLACK = 1e-9


@dataclass(frozen=True)
class Need:
    """What a replica reserves. `name` is its stage's."""

    name: str
    cpus: float
    gpus: float
    memory_gb: float

    def share_of(self, node: NodeClass) -> float:
        """The part of a node that nobody else can have: of what it takes most of. Infinite where it does not fit."""
        shares = [self.cpus / node.cpus, self.memory_gb / node.memory_gb]
        if self.gpus:
            shares.append(self.gpus / node.gpus if node.gpus else float("inf"))
        return max(shares) if max(shares) <= 1 + SLACK else float("inf")


@dataclass
class PackedNode:
    """One node, what is on it, and what is left."""

    cpus: float
    memory_gb: float
    gpus: list[float]  # what is left of each
    names: list[str] = field(default_factory=list)

    def take(self, need: Need) -> bool:
        """Whether it fits. A share of a GPU is of one; more than one are whole."""
        if need.cpus > self.cpus + SLACK or need.memory_gb > self.memory_gb + SLACK:
            return False
        chosen = self._gpus_for(need.gpus)
        if chosen is None:
            return False
        for place in chosen:
            self.gpus[place] -= min(1.0, need.gpus)
        self.cpus -= need.cpus
        self.memory_gb -= need.memory_gb
        self.names.append(need.name)
        return True

    def _gpus_for(self, gpus: float) -> list[int] | None:
        """Places in `gpus`: those with the least left that is enough."""
        share, count = min(1.0, gpus), max(1, round(gpus)) if gpus else 0
        fitting = [place for place, left in enumerate(self.gpus) if left + SLACK >= share]
        return sorted(fitting, key=lambda place: self.gpus[place])[:count] if len(fitting) >= count else None


def pack(needs: Sequence[Need], node: NodeClass) -> list[PackedNode]:
    """First fit, the largest first: at most 11/9 of the fewest nodes in one dimension (Johnson, 1973).

    Every need must fit on an empty node.
    """
    nodes: list[PackedNode] = []
    for need in sorted(needs, key=lambda one: -one.share_of(node)):
        if not any(opened.take(need) for opened in nodes):
            nodes.append(PackedNode(node.cpus, node.memory_gb, [1.0] * node.gpus))
            nodes[-1].take(need)
    return nodes
