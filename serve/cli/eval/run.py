"""A run: the settings, the models and each query's metrics. Saved as JSON, to compare later runs with."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors.requests import InvalidRequestError
from serve.cli.eval.measures import Estimate, estimates

DECIMALS = 6


class ModeRun(BaseModel):
    """One search mode: its request body, and each metric's values in the order of the set's `query_ids`.

    `num_degraded`: searches in which a stage was skipped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    body: dict[str, Any]
    num_degraded: int = Field(default=0, ge=0)
    values: dict[str, list[float]] = Field(min_length=1)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Each metric's mean and its 95 % interval."""
        return dict(zip(self.values, estimates(np.array(list(self.values.values()))), strict=True))


class SetRun(BaseModel):
    """One question set. `digest` identifies its documents; `left_out` counts excluded queries and documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    digest: str
    num_documents: int = Field(ge=1)
    left_out: dict[str, int]
    query_ids: list[str] = Field(min_length=1)
    modes: dict[str, ModeRun] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_a_value_for_every_query(self) -> "SetRun":
        for name, mode in self.modes.items():
            for metric, values in mode.values.items():
                if len(values) != len(self.query_ids):
                    raise ValueError(f"{name} has {len(values)} values of {metric} for {len(self.query_ids)} queries")
        return self


class Run(BaseModel):
    """`created_at` is ISO 8601, UTC; `models` are keyed by stage, as /readyz reports them; `settings`: the options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created_at: str
    settings: dict[str, Any]
    models: dict[str, str | None]
    sets: list[SetRun] = Field(min_length=1)

    @property
    def num_degraded(self) -> int:
        """Searches of all sets and modes in which a stage was skipped."""
        return sum(mode.num_degraded for measured in self.sets for mode in measured.modes.values())

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=None) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> "Run":
        """Raises InvalidRequestError if the file is missing or not a saved run."""
        try:
            return Run.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"{path}: cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(map(str, first["loc"])) or "the file"
            raise InvalidRequestError(f"{path}: not a saved run: {location}: {first['msg']}") from None
