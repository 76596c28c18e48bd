"""What every replica shares: a strict user_config, and in it the choice of its model."""

from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.catalog import first_problem

C = TypeVar("C", bound=BaseModel)
Swap = Literal["auto", "beside", "in_turn"]


class StageConfig(BaseModel):
    """A stage's `user_config`: what can change while it serves. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BatchedStageConfig(StageConfig):
    """A stage that batches concurrent requests into one call of its model or index."""

    max_batch_size: int = Field(
        default=32, ge=1, le=1024, description="Messages of one batch at most, each of one request or of several."
    )
    batch_wait_timeout_s: float = Field(
        default=0.0, ge=0, le=1, description="How long the first request of a batch waits for others, in seconds."
    )


class Canary(StageConfig):
    """A model on trial."""

    model: str = Field(description="Catalog alias of the model on trial.")
    share: float = Field(gt=0, lt=1, description="Share of the requests that it answers; the same one goes one way.")


@dataclass(frozen=True)
class ModelChoice:
    """What an operator wants a stage to serve; see SwappedConfig."""

    model: str
    swap: Swap = "auto"
    drain_s: float = 60.0
    canary: Canary | None = None

    @property
    def aliases(self) -> tuple[str, ...]:
        return (self.model,) if self.canary is None else (self.model, self.canary.model)


class SwappedConfig(StageConfig):
    """The part of a user_config that names the stage's model."""

    model: str = Field(description="Catalog alias.")
    swap: Swap = Field(
        default="auto",
        description="How a new model takes over: loaded beside the old one, or in turn, once the old one is gone; "
        "auto is beside where memory allows.",
    )
    drain_s: float = Field(
        default=60.0, ge=0, le=3600, description="In turn: how long the requests under way may take, in seconds."
    )

    @property
    def choice(self) -> ModelChoice:
        return ModelChoice(self.model, self.swap, self.drain_s)


class CanariedConfig(SwappedConfig):
    """The same, of a stage that can try a model on a share of its requests."""

    canary: Canary | None = Field(default=None, description="A second model, for a share of the requests.")

    @model_validator(mode="after")
    def _check_canary(self) -> Self:
        if self.canary is not None and self.canary.model == self.model:
            raise ValueError(f"canary.model is {self.model!r}, as model is; a canary is another model")
        if self.canary is not None and self.swap == "in_turn":
            raise ValueError("a canary stands beside the model, so swap cannot be in_turn")
        return self

    @property
    def choice(self) -> ModelChoice:
        return ModelChoice(self.model, self.swap, self.drain_s, self.canary)


def parse_user_config(kind: type[C], user_config: dict[str, Any]) -> C:
    """The typed form of a user_config. Raises ConfigError that names the key."""
    try:
        return kind(**user_config)
    except ValidationError as error:
        raise first_problem("user_config", error, kind) from None


def set_batching(batched: Any, config: BatchedStageConfig) -> None:
    """Applies the knobs to a method decorated with Serve's batch; takes effect with the next batch."""
    batched.set_max_batch_size(config.max_batch_size)
    batched.set_batch_wait_timeout_s(config.batch_wait_timeout_s)
