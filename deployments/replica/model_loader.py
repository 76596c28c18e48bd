"""A stage's models from the catalog: loaded with their environment, and warm before their first request."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from deployments.replica.memory import fits_beside
from models.catalog import Catalog
from models.errors.model_failures import ModelLoadError
from models.registry import Task

M = TypeVar("M")


class ModelLoader(Generic[M]):
    """Loads models of one task. `warm_up` makes a first pass, which is slower than the later ones."""

    def __init__(self, catalog: Catalog, task: Task, warm_up: Callable[[M], Awaitable[None]]) -> None:
        self._catalog, self._task, self._warm_up = catalog, task, warm_up

    async def load(self, alias: str) -> M:
        """Raises ModelNotFoundError, ModelLoadError, or what the model's library raised."""
        # A library reads its variables when it is imported, so they come first.
        os.environ.update(self._catalog.environment(self._task, alias))
        model: M = await asyncio.to_thread(self._catalog.load, self._task, alias, self._secrets(alias))
        await self._warm_up(model)
        return model

    def _secrets(self, alias: str) -> dict[str, str]:
        """The options that are secrets, from this process's environment. Raises ModelLoadError for a missing one."""
        variables = self._catalog.secret_variables(self._task, alias)
        for variable in variables.values():
            if not os.environ.get(variable):
                raise ModelLoadError(alias, f"the environment variable {variable} is not set where the replica runs")
        return {option: os.environ[variable] for option, variable in variables.items()}

    async def fits_beside(self, alias: str) -> bool:
        """Whether there is memory for the model beside those that are loaded."""
        return await asyncio.to_thread(fits_beside, self._catalog, self._task, alias)


def is_remote(model: object) -> bool:
    """Whether a model answers over HTTP. A probe of it would cost a request, and tell of another machine."""
    return bool(getattr(model, "is_remote", False))
