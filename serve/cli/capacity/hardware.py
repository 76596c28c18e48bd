"""What there is to run on: classes of nodes, what one costs, and how many there may be."""

import os

import psutil
from pydantic import Field

from serve.cli.capacity.yaml_model import YamlModel

HERE = "here"
GB = 1e9


class NodeClass(YamlModel):
    """Nodes of one kind. The price is in any currency, the same for all classes."""

    cpus: int = Field(ge=1, le=1024, description="Cores of a node.")
    memory_gb: float = Field(gt=0, le=65_536, description="Memory of a node, for replicas.")
    gpus: int = Field(default=0, ge=0, le=16, description="GPUs of a node.")
    price_per_hour: float = Field(default=0.0, ge=0, le=1e6, description="Of one node.")
    max_nodes: int = Field(default=1, ge=1, le=100_000, description="How many there may be.")


class Hardware(YamlModel):
    """The classes by name. A profile has its times by the same names."""

    classes: dict[str, NodeClass] = Field(min_length=1)


def this_machine(gpus: int = 0) -> Hardware:
    """The machine at hand, which costs nothing more than it does already."""
    cpus, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / GB
    return Hardware(classes={HERE: NodeClass(cpus=cpus, memory_gb=round(memory, 1), gpus=gpus)})
