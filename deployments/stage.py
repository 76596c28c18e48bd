"""What every replica shares: a strict user_config, and a model that is loaded beside the one that serves."""

import asyncio
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.catalog import Catalog, first_problem
from models.registry import Task

C = TypeVar("C", bound=BaseModel)
M = TypeVar("M")


class StageConfig(BaseModel):
    """A stage's `user_config`: what can change while it serves. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BatchedStageConfig(StageConfig):
    """A stage that batches concurrent requests into one call of its model or index."""

    max_batch_size: int = Field(default=32, ge=1, le=1024, description="Requests of one batch at most.")
    batch_wait_timeout_s: float = Field(
        default=0.0, ge=0, le=1, description="How long the first request of a batch waits for others, in seconds."
    )


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


async def load_if_changed(catalog: Catalog, task: Task, alias: str, current: M | None) -> M:
    """`current` if it is the model named `alias`; else that model, loaded while `current` goes on serving."""
    if current is not None and current.name == alias:  # type: ignore[attr-defined]
        return current
    return await asyncio.to_thread(catalog.load, task, alias)
