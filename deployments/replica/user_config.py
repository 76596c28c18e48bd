"""The user_config of replicas: strict parsing, and the choice of the stage's model."""

from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.catalog import first_problem

C = TypeVar("C", bound=BaseModel)
Swap = Literal["auto", "beside", "in_turn"]


class StageConfig(BaseModel):
    """A stage's `user_config`: settings that can change while it serves. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenBatchedConfig(StageConfig):
    """The settings of a stage that batches by tokens."""

    max_batch_tokens: int = Field(
        default=2048,
        ge=64,
        le=2**20,
        description="Most tokens of one forward pass, padding included. A longer text gets a pass of its own.",
    )
    max_batch_size: int = Field(default=256, ge=1, le=8192, description="Most texts or pairs in one forward pass.")
    max_queued_tokens: int = Field(
        default=2**20, ge=64, le=2**32, description="Most waiting tokens; beyond it new calls get a 429."
    )


class BatchedStageConfig(StageConfig):
    """A stage that batches concurrent requests into one call of its model or index."""

    max_batch_size: int = Field(
        default=32, ge=1, le=1024, description="Most messages in one batch; a message carries one or more requests."
    )
    batch_wait_timeout_s: float = Field(
        default=0.0, ge=0, le=1, description="Longest wait of a batch's first request for others, in seconds."
    )


class Canary(StageConfig):
    """A model on trial."""

    model: str = Field(description="Catalog alias of the model on trial.")
    share: float = Field(
        ge=0,
        lt=1,
        description="Fraction of requests sent to the canary. The same query always takes the same way. 0: only "
        "requests that name it.",
    )


@dataclass(frozen=True)
class ModelChoice:
    """The models that a stage must serve, and how it swaps to them; see SwappedConfig."""

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
        description="How a new model replaces the old one. beside: load it, then swap. in_turn: release the old first. "
        "auto: beside if there is memory for both.",
    )
    drain_s: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="in_turn: longest wait for running requests before the old model is released, in seconds.",
    )

    @property
    def choice(self) -> ModelChoice:
        return ModelChoice(self.model, self.swap, self.drain_s)


class CanariedConfig(SwappedConfig):
    """The same for a stage that can try a second model on a fraction of its requests."""

    canary: Canary | None = Field(default=None, description="A second model, on trial for a fraction of the requests.")

    @model_validator(mode="after")
    def _check_canary(self) -> Self:
        if self.canary is not None and self.canary.model == self.model:
            raise ValueError(f"canary.model is {self.model!r}, the same as model; a canary is another model")
        if self.canary is not None and self.swap == "in_turn":
            raise ValueError("a canary is loaded beside the model, so swap cannot be in_turn")
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
