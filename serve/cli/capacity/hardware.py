"""The available hardware: classes of nodes, their prices, and how many nodes of each there are."""

import os

import psutil
from pydantic import Field

from serve.cli.capacity.prices import GIB_PER_GB, Prices
from serve.cli.capacity.yaml_model import YamlModel

HERE = "here"
GB = 1e9


class NodeClass(YamlModel):
    """Nodes of one kind. A price of its own replaces the one that its resources have by Prices."""

    cpus: int = Field(ge=1, le=1024, description="Cores per node.")
    memory_gb: float = Field(gt=0, le=65_536, description="Memory per node that replicas may use, in GB.")
    gpus: int = Field(default=0, ge=0, le=16, description="GPUs per node.")
    price_per_hour: float | None = Field(
        default=None, ge=0, le=1e6, description="Price of one node per hour; default: of its cores, memory and GPUs."
    )
    gpu_hour: float | None = Field(
        default=None, ge=0, le=1e6, description="Price of one of its GPUs per hour; default: Prices.gpu_hour."
    )
    max_nodes: int = Field(default=1, ge=1, le=100_000, description="Highest number of nodes.")


class Hardware(YamlModel):
    """Node classes by name, and prices. The stage times of a Profile use the same names."""

    prices: Prices = Prices()
    classes: dict[str, NodeClass] = Field(min_length=1)

    def price_per_hour(self, name: str) -> float:
        """Price of one node of the class per hour, without extra disks."""
        node = self.classes[name]
        if node.price_per_hour is not None:
            return node.price_per_hour
        gpu_hour = self.prices.gpu_hour if node.gpu_hour is None else node.gpu_hour
        memory_gib = node.memory_gb * GIB_PER_GB
        return node.cpus * self.prices.cpu_hour + memory_gib * self.prices.memory_gib_hour + node.gpus * gpu_hour


def this_machine(gpus: int = 0) -> Hardware:
    """This machine as the only node, at the price of its resources if it were rented."""
    cpus, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / GB
    return Hardware(classes={HERE: NodeClass(cpus=cpus, memory_gb=round(memory, 1), gpus=gpus)})
