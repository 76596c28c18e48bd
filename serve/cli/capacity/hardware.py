"""The available hardware: classes of nodes, their prices, and how many nodes of each there are."""

import os

import psutil
from pydantic import Field

from serve.cli.capacity.yaml_model import YamlModel

HERE = "here"
GB = 1e9


class NodeClass(YamlModel):
    """Nodes of one kind. Prices are in any currency, the same for all classes."""

    cpus: int = Field(ge=1, le=1024, description="Cores per node.")
    memory_gb: float = Field(gt=0, le=65_536, description="Memory per node that replicas may use, in GB.")
    gpus: int = Field(default=0, ge=0, le=16, description="GPUs per node.")
    price_per_hour: float = Field(default=0.0, ge=0, le=1e6, description="Price of one node per hour.")
    max_nodes: int = Field(default=1, ge=1, le=100_000, description="Highest number of nodes.")


class Hardware(YamlModel):
    """Node classes by name. The stage times of a Profile use the same names."""

    classes: dict[str, NodeClass] = Field(min_length=1)


def this_machine(gpus: int = 0) -> Hardware:
    """This machine as the only node, at no price."""
    cpus, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / GB
    return Hardware(classes={HERE: NodeClass(cpus=cpus, memory_gb=round(memory, 1), gpus=gpus)})
