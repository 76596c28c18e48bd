"""values.yaml of an overlay: what differs from serve_config.yaml on that hardware, and the pods that carry it."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.errors import ConfigError, did_you_mean
from serve.config_file import read

VALUES_FILE = "values.yaml"
KIB = 1024
SUFFIXES = {"Mi": KIB**2, "Gi": KIB**3, "Ti": KIB**4}


class HardwareClass(BaseModel):
    """One worker group: pods of one size, and which stages live there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: int = Field(ge=1, le=512, description="CPUs of a pod, request and limit, and what Ray may give to replicas.")
    memory: str = Field(pattern=r"^[1-9]\d*(Mi|Gi|Ti)$", description="Memory of a pod, request and limit.")
    gpus: int = Field(default=0, ge=0, le=16, description="Whole GPUs of a pod.")
    stages: list[str] = Field(default=[], description="Deployments that are placed here.")
    spare_pods: int = Field(
        default=1, ge=0, description="Pods past the most that the replicas fill: room to move while one is drained."
    )
    idle_timeout_s: int = Field(default=300, ge=1, description="A pod without replicas goes after this.")
    node_selector: dict[str, str] = Field(default={}, description="Kubernetes nodes that the pods may run on.")

    @property
    def memory_bytes(self) -> int:
        return int(self.memory[:-2]) * SUFFIXES[self.memory[-2:]]


class Values(BaseModel):
    """An overlay's values. `args` and `deployments` are laid over serve_config.yaml, mapping by mapping."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extends: Path | None = Field(default=None, description="Folder whose values these are laid over.")
    catalog: Path | None = Field(
        default=None, description="A catalog file beside this one; the overlay puts it into the ConfigMap."
    )
    args: dict[str, Any] = Field(default={}, description="Over the application's args.")
    deployments: dict[str, dict[str, Any]] = Field(
        default={}, description="Over a deployment, by name; DenseSearcher's hold for every shard of it."
    )
    default_class: str = Field(description="Class of the stages that no class names.")
    replacement_s: int = Field(
        ge=0, description="How long a replica that takes over from a drained pod may need: a node, an image, a model."
    )
    classes: dict[str, HardwareClass | None] = Field(description="By name; null takes away what `extends` has.")

    @field_validator("classes")
    @classmethod
    def _none_taken_away_stays(cls, classes: dict[str, HardwareClass | None]) -> dict[str, HardwareClass | None]:
        return {name: one for name, one in classes.items() if one is not None}

    def hardware(self) -> dict[str, HardwareClass]:
        return {name: one for name, one in self.classes.items() if one is not None}


def read_values(folder: Path) -> Values:
    """The values of `folder` over those it extends. Raises ConfigError that names every problem."""
    try:
        return Values(**_merged(folder, []))
    except ValidationError as error:
        problems = [_message(problem) for problem in error.errors()]
        raise ConfigError(str(folder / VALUES_FILE), "\n  ".join(["is refused", *problems])) from None


def _message(problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{path}: {problem['msg']}"
    known = HardwareClass.model_fields if problem["loc"][0] == "classes" else Values.model_fields
    return f"{path}: unknown key{did_you_mean(str(problem['loc'][-1]), known)}"


def _merged(folder: Path, seen: list[Path]) -> dict[str, Any]:
    here = folder.resolve()
    if here in seen:
        raise ConfigError(str(folder / VALUES_FILE), "extends itself")
    own = read(folder / VALUES_FILE)
    if own.get("catalog") is not None:
        own["catalog"] = str(here / str(own["catalog"]))
    parent = own.get("extends")
    return own if parent is None else lay_over(_merged(folder / str(parent), [*seen, here]), own)


def lay_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Both, mapping by mapping; where both have a value that is no mapping, `over`'s."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = lay_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
