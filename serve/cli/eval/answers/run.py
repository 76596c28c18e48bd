"""A run of `eval answers`: each metric's value of each case. Saved as JSON, to compare later runs with."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.errors.requests import InvalidRequestError
from serve.cli.eval.measures import Estimate, estimates

DECIMALS = 4


class KindRun(BaseModel):
    """The cases of one kind of turn: by metric, the value of each case to which it applies, by its id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_cases: int = Field(ge=1)
    values: dict[str, dict[str, float]]

    @field_validator("values")
    @classmethod
    def _has_cases(cls, values: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        if not all(values.values()):
            raise ValueError("a metric has no case")
        return values

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Each metric's mean and its 95 % interval by bootstrap over the cases."""
        return {metric: estimates(np.array([list(cases.values())]))[0] for metric, cases in self.values.items()}


class AnswersOfSet(BaseModel):
    """One question set: its cases by kind of turn. `digest` identifies its documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    digest: str
    num_documents: int = Field(ge=1)
    kinds: dict[str, KindRun] = Field(min_length=1)


class AnswerRun(BaseModel):
    """`created_at` is ISO 8601, UTC; `models` by stage; `settings`: the options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created_at: str
    settings: dict[str, Any]
    models: dict[str, str | None]
    sets: list[AnswersOfSet] = Field(min_length=1)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json() + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> "AnswerRun":
        """Raises InvalidRequestError if the file is missing or not a saved run of `eval answers`."""
        try:
            return AnswerRun.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"{path}: cannot be read: {error}", "compare") from None
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(map(str, first["loc"])) or "the file"
            problem = f"{path}: not a saved run of `eval answers`: {location}: {first['msg']}"
            raise InvalidRequestError(problem, "compare") from None
