"""values.yaml of an overlay: changes to serve_config.yaml for its hardware, and the sizes of its pods."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.errors.configuration import ConfigError
from models.errors.suggestions import did_you_mean
from serve.config_file import read

VALUES_FILE = "values.yaml"
KIB = 1024
DAY_S = 86_400
SUFFIXES = {"Mi": KIB**2, "Gi": KIB**3, "Ti": KIB**4}


class HardwareClass(BaseModel):
    """One worker group: pods of one size, and the stages that run on them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpus: int = Field(ge=1, le=512, description="CPUs per pod (request and limit); Ray assigns them to replicas.")
    memory: str = Field(pattern=r"^[1-9]\d*(Mi|Gi|Ti)$", description="Memory per pod (request and limit).")
    gpus: int = Field(default=0, ge=0, le=16, description="Whole GPUs per pod.")
    stages: list[str] = Field(default=[], description="Deployments that run on these pods.")
    spare_pods: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Pods beyond those that max_replicas fill, for the replicas of a drained pod.",
    )
    idle_timeout_s: int = Field(
        default=300, ge=1, le=86_400, description="A pod without replicas is removed after this time."
    )
    node_selector: dict[str, str] = Field(default={}, description="Labels of the Kubernetes nodes for these pods.")

    @property
    def memory_bytes(self) -> int:
        return int(self.memory[:-2]) * SUFFIXES[self.memory[-2:]]


class Values(BaseModel):
    """An overlay's values. `args` and `deployments` are merged into serve_config.yaml, mapping by mapping."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extends: Path | None = Field(default=None, description="Folder of another values.yaml; these values override it.")
    catalog: Path | None = Field(
        default=None, description="Catalog file in the same folder; the overlay adds it to the ConfigMap."
    )
    args: dict[str, Any] = Field(default={}, description="Overrides of the application's args.")
    deployments: dict[str, dict[str, Any]] = Field(
        default={}, description="Overrides by deployment name; those of a searcher apply to each of its shards."
    )
    backup_schedule: str | None = Field(
        default=None,
        pattern=r"^[-0-9*/,]+( [-0-9*/,]+){4}$",
        description="When a CronJob makes backups (UTC), such as `15 3 * * *`; args.backups says where. None: never.",
    )
    mtls: bool = Field(
        default=False,
        strict=True,
        description="Encrypt Ray's traffic between pods; needs KubeRay's gate RayClusterMTLS.",
    )
    default_class: str = Field(description="Class of the stages that are not listed in a class.")
    replacement_s: int = Field(
        ge=0, le=86_400, strict=True, description="Time to start a replica on a new node: node, image and model."
    )
    classes: dict[str, HardwareClass | None] = Field(description="Classes by name; null removes a class of `extends`.")

    @field_validator("classes")
    @classmethod
    def _drop_removed(cls, classes: dict[str, HardwareClass | None]) -> dict[str, HardwareClass | None]:
        return {name: hardware for name, hardware in classes.items() if hardware is not None}

    def hardware(self) -> dict[str, HardwareClass]:
        """The classes that are not removed."""
        return {name: hardware for name, hardware in self.classes.items() if hardware is not None}


def read_values(folder: Path) -> Values:
    """The values of `folder`, merged over those it extends. Raises ConfigError that lists every problem."""
    try:
        return Values(**_merged(folder, []))
    except ValidationError as error:
        problems = [_message(problem) for problem in error.errors()]
        raise ConfigError(str(folder / VALUES_FILE), "\n  ".join(["is invalid:", *problems])) from None


def _message(problem: Any) -> str:
    path = ".".join(map(str, problem["loc"]))
    if problem["type"] != "extra_forbidden":
        return f"{path}: {problem['msg']}"
    keys = HardwareClass.model_fields if problem["loc"][0] == "classes" else Values.model_fields
    return f"{path}: unknown key{did_you_mean(str(problem['loc'][-1]), keys)}"


def _merged(folder: Path, children: list[Path]) -> dict[str, Any]:
    """`children`: the folders that extend this one."""
    here = folder.resolve()
    if here in children:
        raise ConfigError(str(folder / VALUES_FILE), "extends itself")
    own = read(folder / VALUES_FILE)
    if own.get("catalog") is not None:
        own["catalog"] = str(here / str(own["catalog"]))
    parent = own.get("extends")
    return own if parent is None else merge(_merged(folder / str(parent), [*children, here]), own)


def merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Merge nested mappings. Any other value of `overrides` replaces that of `base`."""
    merged = dict(base)
    for key, value in overrides.items():
        current = merged.get(key)
        merged[key] = merge(current, value) if isinstance(current, dict) and isinstance(value, dict) else value
    return merged
