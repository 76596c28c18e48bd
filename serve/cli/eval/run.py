"""A run: what was asked of which models, and each query's figures. Saved as JSON, to be compared with later."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import InvalidRequestError
from serve.cli.eval.measures import Estimate, estimates

DECIMALS = 6


class ModeRun(BaseModel):
    """One way to search: the body that asked for it, and each metric's value for each of the set's `query_ids`.

    `num_degraded` counts the searches that had to go without one of their stages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    body: dict[str, Any]
    num_degraded: int = Field(default=0, ge=0)
    values: dict[str, list[float]] = Field(min_length=1)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Each metric's mean with its interval."""
        return dict(zip(self.values, estimates(np.array(list(self.values.values()))), strict=True))


class SetRun(BaseModel):
    """One question set. `digest` names its documents, `left_out` counts what was not asked or cannot be found."""

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
    """`created_at` in UTC; `models` by stage, as the service reports them; `settings` as the command was given them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created_at: str
    settings: dict[str, Any]
    models: dict[str, str | None]
    sets: list[SetRun] = Field(min_length=1)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=None) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> "Run":
        """Raises InvalidRequestError for a file that holds no run."""
        try:
            return Run.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"{path}: cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise InvalidRequestError(f"{path}: no saved run: {where}: {first['msg']}") from None
