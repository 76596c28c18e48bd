"""A stage's model, which changes while it serves: the next one loads beside it, and no request waits for that.

`choose` returns at once after the first time. Serve puts a replica that reconfigures into the state UPDATING, tells
handles of RUNNING replicas only, and stops a replica whose `reconfigure` raises. So a model that does not load is
reported by `status`. Source: ray 2.60, serve/_private/deployment_state.py: get_running_replica_infos,
_check_startup_replicas.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Generic, TypeVar

from deployments.replica.loaded_model import LoadedModel
from deployments.replica.model_swap import ModelSwap
from deployments.replica.slot_state import Failed, Loading, SwappingInTurn
from deployments.replica.user_config import ModelChoice
from models.deadline import Deadline
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus
from models.types.request_context import RequestContext

M = TypeVar("M")
T = TypeVar("T")

CANARY_TIME = 0.5  # of a request's remaining time; the serving model has the other half if the canary fails
logger = logging.getLogger(__name__)


async def _drop_reference(model: object) -> None:
    """Do nothing: a model's memory is freed with its last reference."""


async def _always(alias: str) -> bool:
    return True


class ModelSlot(Generic[M]):
    """Leases the serving model, or its canary, to requests. Its states: slot_state.py. Belongs to one event loop.

    `load` returns the model of an alias, warm. `release` frees a model once no request uses it.
    `fits_beside` checks for enough memory to load a model beside the loaded ones; by default there always is.
    """

    def __init__(
        self,
        stage: str,
        load: Callable[[str], Awaitable[M]],
        release: Callable[[M], Awaitable[None]] = _drop_reference,
        fits_beside: Callable[[str], Awaitable[bool]] = _always,
    ) -> None:
        self._stage = stage
        self._swap = ModelSwap(stage, load, release, fits_beside)

    @property
    def serving(self) -> M:
        """The serving model, never the canary. Raises StageUnavailableError if none serves."""
        serving = self._swap.serving
        if serving is None:
            raise StageUnavailableError(self._stage)
        return serving.model

    @property
    def canary(self) -> M | None:
        """The model on trial."""
        return self._swap.canary.model if self._swap.canary is not None else None

    @property
    def models(self) -> list[M]:
        """All models in memory: the serving one, the canary, and those that finish their last requests."""
        return [loaded.model for loaded in self._loaded_models]

    @property
    def is_down(self) -> bool:
        """Whether no model serves."""
        return self._swap.serving is None

    async def choose(self, choice: ModelChoice) -> None:
        """The first time: return once the model serves, or raise what loading it raised. Later: return at once.

        The newest choice wins. The same choice again is a new attempt if the last one failed.
        """
        await self._swap.choose(choice)

    @asynccontextmanager
    async def lease(self, key: str | None = None, wait_s: float = 0.0) -> AsyncGenerator[M, None]:
        """The model for a request, which stays loaded until the block ends. Without a key it is never the canary.

        Raises StageUnavailableError if none serves within `wait_s`, as during a swap in turn.
        """
        with (self._canary_for(key) or await self._wait_for_serving(wait_s)).lease() as model:
            yield model

    @asynccontextmanager
    async def lease_named(self, is_named: Callable[[M], bool], wait_s: float = 0.0) -> AsyncGenerator[M, None]:
        """As `lease`, for a request that names its model: the canary if that is its name, else the serving model."""
        canary = self._swap.canary
        named = canary if canary is not None and is_named(canary.model) else None
        with (named or await self._wait_for_serving(wait_s)).lease() as model:
            yield model

    @contextmanager
    def lease_canary(self, key: str | None) -> Iterator[M | None]:
        """The canary if it gets the requests with this key; else None."""
        canary = self._canary_for(key)
        if canary is None:
            yield None
            return
        with canary.lease() as model:
            yield model

    async def answer(
        self, key: str | None, work: Callable[[M, RequestContext], Awaitable[T]], context: RequestContext
    ) -> tuple[T, str]:
        """The result of `work`, and the alias of the canary if it failed or was too slow, else an empty string."""
        failed = ""
        with self.lease_canary(key) as canary:
            if canary is not None:
                try:
                    return await work(canary, context.at_most(CANARY_TIME * context.remaining_s())), ""
                except Exception as error:  # noqa: BLE001, if the request is to blame, it fails again
                    failed = self.note_canary_failure(canary, error, context.request_id)
        async with self.lease(None, context.remaining_s()) as model:
            return await work(model, context), failed

    def note_canary_failure(self, canary: M, error: Exception, request_id: str) -> str:
        """Log a request that the canary failed. Returns the canary's alias."""
        alias = next((loaded.alias for loaded in self._loaded_models if loaded.model is canary), "")
        logger.warning("stage %s: canary %s failed for %s: %r", self._stage, alias, request_id, error)
        return alias

    def drop_canary(self, canary: M, error: Exception) -> None:
        """Take an unhealthy canary out of service."""
        if self.canary is canary:
            self._swap.drop_canary(error)

    def status(self, num_unfinished: int = 0, generation: str = "") -> StageStatus:
        """Raises StageUnavailableError as `check_health` does."""
        self.check_health()
        serving, canary, target = self._swap.serving, self._swap.canary, self._swap.target
        return StageStatus(
            model=serving.alias if serving else "",
            num_unfinished=num_unfinished,
            generation=generation,
            loading=self._swap.next_alias,
            error="; ".join(self._swap.errors),
            canary=canary.alias if canary else "",
            canary_share=target.canary.share if canary and target and target.canary else 0.0,
            runs_on=getattr(serving.model, "runs_on", "") if serving else "",  # not every kind of model has it
        )

    def check_health(self) -> None:
        """Raises StageUnavailableError if no model serves and none is loading: Serve then starts a new replica."""
        if isinstance(self._swap.state, Loading | Failed):
            raise StageUnavailableError(self._stage)

    async def until_settled(self) -> None:
        """Wait until nothing is loading, and no model waits to be released."""
        await self._swap.until_settled()

    async def drain(self, drain_s: float) -> None:
        """Wait for the requests of the serving model, up to `drain_s`, and close. No request may come any more."""
        serving = self._swap.serving
        if serving is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(serving.idle.wait(), drain_s)
        await self.close()

    async def close(self) -> None:
        """Stop the change, and release every model, used or not."""
        await self._swap.close()

    @property
    def _loaded_models(self) -> list[LoadedModel[M]]:
        return [*self._swap.in_service, *self._swap.retiring.models]

    def _canary_for(self, key: str | None) -> LoadedModel[M] | None:
        """The canary if it gets the requests with this key. Its share is the fraction of all keys that it gets."""
        canary, target = self._swap.canary, self._swap.target
        if key is None or canary is None or target is None or target.canary is None:
            return None
        return canary if _fraction(key) < target.canary.share else None

    async def _wait_for_serving(self, wait_s: float) -> LoadedModel[M]:
        end = Deadline.after(wait_s)
        while (serving := self._swap.serving) is None:
            is_loading = isinstance(self._swap.state, SwappingInTurn)
            try:
                async with asyncio.timeout(end.remaining_s() if is_loading else 0):
                    await self._swap.serves.wait()
            except TimeoutError:
                raise StageUnavailableError(self._stage) from None
        return serving


def _fraction(key: str) -> float:
    """A number from 0 to 1, evenly distributed, and the same for a key in every process."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) / 2**64
