"""The change of a slot's model: loading the next one, swapping it in, going back to the old one if it does not load."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Generic, TypeVar

from deployments.replica.loaded_model import LoadedModel, RetiringModels
from deployments.replica.slot_state import Failed, Loading, Serving, ServingWithCanary, State, SwappingInTurn
from deployments.replica.user_config import Canary, ModelChoice
from deployments.telemetry.metrics.serving_models import MODEL_SWAPS
from models.errors.base import RagError

M = TypeVar("M")
logger = logging.getLogger(__name__)


class ModelSwap(Generic[M]):
    """Holds a slot's state and moves it towards the target, the newest choice. Belongs to one event loop."""

    def __init__(
        self,
        stage: str,
        load: Callable[[str], Awaitable[M]],
        release: Callable[[M], Awaitable[None]],
        fits_beside: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._stage, self._load_model, self._fits_beside = stage, load, fits_beside
        self.retiring = RetiringModels(stage, release)
        self.state: State[M] = Loading()
        self.target: ModelChoice | None = None
        self.errors: list[str] = []  # of the last change
        self.serves = asyncio.Event()
        self._loading_alias = ""
        self._change: asyncio.Task[None] | None = None

    @property
    def serving(self) -> LoadedModel[M] | None:
        return self.state.loaded if isinstance(self.state, Serving) else None

    @property
    def canary(self) -> LoadedModel[M] | None:
        return self.state.canary if isinstance(self.state, ServingWithCanary) else None

    @property
    def in_service(self) -> list[LoadedModel[M]]:
        """The serving model and the canary."""
        return [loaded for loaded in (self.serving, self.canary) if loaded is not None]

    @property
    def is_changing(self) -> bool:
        return self._change is not None and not self._change.done()

    @property
    def next_alias(self) -> str:
        """The model that is loading, or loads next; empty if none does."""
        if self._loading_alias or not self.is_changing or self.target is None:
            return self._loading_alias
        loaded_aliases = {loaded.alias for loaded in self.in_service}
        return next((alias for alias in self.target.aliases if alias not in loaded_aliases), "")

    async def choose(self, choice: ModelChoice) -> None:
        """Load the first model, or raise what loading it raised. Later: start a change, and return at once.

        The newest choice wins. The same choice again is a new attempt if the last one failed.
        """
        if isinstance(self.state, Loading):
            self._serve(LoadedModel(choice.model, await self._load_model(choice.model)))
        elif choice == self.target and not self.errors:
            return
        if isinstance(self.state, Failed):
            self._enter(SwappingInTurn(self.state.previous_alias))
        self.target = replace(choice)  # a new object: `is` tells it from an equal choice
        if not self.is_changing:
            self._change = asyncio.create_task(self._reach_target())

    def drop_canary(self, error: Exception) -> None:
        """Take the canary out of service."""
        canary = self.canary
        if canary is not None:
            self.errors.append(f"canary {canary.alias!r} failed: {type(error).__name__}")
            self._retire_canary(canary)

    async def until_settled(self) -> None:
        """Wait until nothing is loading, and no model waits to be released."""
        while tasks := self._tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop the change, and release every model, used or not."""
        tasks, models = self._tasks, [*self.in_service, *self.retiring.models]
        self._enter(Failed(self._previous_alias()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for loaded in models:
            await self.retiring.release(loaded)

    @property
    def _tasks(self) -> list[asyncio.Task[None]]:
        change = [self._change] if self._change is not None and self.is_changing else []
        return [*self.retiring.tasks, *change]

    def _enter(self, state: State[M]) -> None:
        """The one place where the state changes."""
        self.state = state
        if isinstance(state, Serving):
            self.serves.set()
        else:
            self.serves.clear()

    def _serve(self, loaded: LoadedModel[M], canary: LoadedModel[M] | None = None) -> None:
        self._enter(Serving(loaded) if canary is None else ServingWithCanary(loaded, canary))

    def _previous_alias(self) -> str:
        match self.state:
            case Serving(loaded):
                return loaded.alias
            case SwappingInTurn(alias) | Failed(alias):
                return alias
        return ""

    async def _reach_target(self) -> None:
        """Work until the newest choice is reached, as far as its models load."""
        reached = None
        try:
            while (target := self.target) is not reached and target is not None:
                await self._change_to(target)
                reached = target
        finally:
            if self.serving is None:
                self._enter(Failed(self._previous_alias()))

    async def _change_to(self, target: ModelChoice) -> None:
        self.errors = []
        if self.canary is not None and self.canary.alias not in target.aliases:
            self._retire_canary(self.canary)
        if self.serving is None or self.serving.alias != target.model:
            await self._replace_serving(target)
        if self.target is target and target.canary is not None and self.canary is None:
            await self._load_canary(target.canary)

    async def _replace_serving(self, target: ModelChoice) -> None:
        """Put the target's model into service. If it does not load, the old one stays."""
        if self.canary is not None and self.canary.alias == target.model:
            loaded: LoadedModel[M] | None = self.canary
        elif await self._loads_beside(target):
            loaded = await self._load(target.model)
        else:
            loaded = await self._load_in_turn(target)
        if loaded is None:
            return
        old, canary = self.serving, None if self.canary is loaded else self.canary
        is_next_canary = old is not None and target.canary is not None and target.canary.model == old.alias
        if is_next_canary and canary is None:
            self._serve(loaded, old)
            return
        self._serve(loaded, canary)
        if old is not None:
            self.retiring.retire(old)

    async def _loads_beside(self, target: ModelChoice) -> bool:
        if target.swap != "auto" or self.serving is None:
            return target.swap == "beside"
        return await self._has_memory_for(target.model)

    async def _has_memory_for(self, alias: str) -> bool:
        try:
            return await self._fits_beside(alias)
        except (RagError, OSError):  # the model itself is at fault: loading it reports the error
            return True

    async def _load_in_turn(self, target: ModelChoice) -> LoadedModel[M] | None:
        """Load the target's model into the old one's memory; the old one again if it does not load."""
        already_retiring, previous_alias = self.retiring.tasks, self._previous_alias()
        retiring = [self.retiring.retire(loaded, target.drain_s) for loaded in self.in_service]
        self._enter(SwappingInTurn(previous_alias))
        self._loading_alias = target.model
        if already_retiring:
            await asyncio.wait(already_retiring, timeout=target.drain_s)
        await asyncio.gather(*retiring)
        loaded = await self._load(target.model)
        if loaded is None and self.target is target and previous_alias != target.model:
            loaded = await self._load(previous_alias, is_rollback=True)
        return loaded

    async def _load_canary(self, canary: Canary) -> None:
        serving = self.serving
        if serving is None or serving.alias == canary.model:
            return  # the target's model did not load, and its canary is still the serving model
        if self.target and self.target.swap == "auto" and not await self._has_memory_for(canary.model):
            self.errors.append(f"canary {canary.model!r} does not fit into memory beside {serving.alias!r}")
            return
        loaded = await self._load(canary.model)
        if loaded is not None:
            self._serve(serving, loaded)

    async def _load(self, alias: str, is_rollback: bool = False) -> LoadedModel[M] | None:
        """None if the model does not load, which is logged, or if a newer choice does not need it."""
        self._loading_alias = alias
        try:
            loaded = LoadedModel(alias, await self._load_model(alias))
        except Exception as error:  # whatever a model's library raises
            self.errors.append(_describe(alias, error))
            logger.error("stage %s: %s", self._stage, self.errors[-1], exc_info=error)
            self._count(alias, "failed")
            return None
        finally:
            self._loading_alias = ""
        self._count(alias, "rolled_back" if is_rollback else "loaded")
        if is_rollback or (self.target and alias in self.target.aliases):
            return loaded
        self.retiring.retire(loaded)
        return None

    def _count(self, alias: str, outcome: str) -> None:
        MODEL_SWAPS.labels(self._stage, alias, outcome).inc()

    def _retire_canary(self, canary: LoadedModel[M]) -> None:
        self.retiring.retire(canary)
        if isinstance(self.state, ServingWithCanary):
            self._serve(self.state.loaded)


def _describe(alias: str, error: Exception) -> str:
    """The error in the stage's status. Users see it, so a library's message, which may have paths, is only logged."""
    if isinstance(error, RagError):
        return str(error)
    return f"model {alias!r} does not load: {type(error).__name__}; the log has the details"
