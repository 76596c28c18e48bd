"""A model in memory, the requests that use it, and its release once the last of them has ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

M = TypeVar("M")
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class LoadedModel(Generic[M]):
    """A model and the number of requests that use it."""

    alias: str
    model: M
    num_leases: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()

    @contextmanager
    def lease(self) -> Iterator[M]:
        """Keep the model loaded until the block ends."""
        self.num_leases += 1
        self.idle.clear()
        try:
            yield self.model
        finally:
            self.num_leases -= 1
            if not self.num_leases:
                self.idle.set()


class RetiringModels(Generic[M]):
    """Models that get no new requests. Each is released when its last request has ended."""

    def __init__(self, stage: str, release: Callable[[M], Awaitable[None]]) -> None:
        self._stage, self._release = stage, release
        self._models: dict[asyncio.Task[None], LoadedModel[M]] = {}  # by the task that releases it

    @property
    def models(self) -> list[LoadedModel[M]]:
        return list(self._models.values())

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._models)

    def retire(self, loaded: LoadedModel[M], drain_s: float | None = None) -> asyncio.Task[None]:
        """Release the model when it is idle, or after `drain_s`, used or not. None: wait without limit."""
        task = asyncio.create_task(self._drain(loaded, drain_s))
        self._models[task] = loaded
        task.add_done_callback(lambda done: self._models.pop(done, None))
        return task

    async def _drain(self, loaded: LoadedModel[M], drain_s: float | None) -> None:
        try:
            await asyncio.wait_for(loaded.idle.wait(), drain_s)
        except TimeoutError:
            logger.warning(
                "stage %s: released %s while %d requests used it", self._stage, loaded.alias, loaded.num_leases
            )
        await self.release(loaded)

    async def release(self, loaded: LoadedModel[M]) -> None:
        """Free the model's memory. Raises nothing: a failure is logged."""
        try:
            await self._release(loaded.model)
        except Exception:  # whatever a model's library raises
            logger.exception("stage %s: releasing %s failed", self._stage, loaded.alias)
