"""The key of a result: a digest of all that the result depends on."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from models.corpus.views import SearchedStore
from models.errors.base import RagError
from models.types.scope import Scope
from serve.caching.serving import ServingStages

DIGEST_BYTES = 32


class StoreStates(Protocol):
    def searched_state(self, scope: Scope) -> tuple[SearchedStore, ...]:
        """As models.corpus.views.Views. Blocks."""


@dataclass(frozen=True)
class ResultKey:
    """The digest, and the models that must have made a result for it to be stored under it, by stage."""

    digest: str
    models: Mapping[str, str]

    def fits(self, models: Mapping[str, str]) -> bool:
        """Whether a result of these models belongs under the key: a replica may have swapped since it was made."""
        return all(models[stage] == model for stage, model in self.models.items() if stage in models)


@dataclass(frozen=True)
class ResultKeys:
    """Makes the keys of one level, from the state of the stores and the stages that answer."""

    states: StoreStates
    serving: ServingStages
    stages: Sequence[str]

    async def of(self, scope: Scope, *parts: object) -> ResultKey | None:
        """The key now; None if the result must not be cached: a store or a stage is unknown.

        `parts` are plain data or frozen dataclasses of plain data: their repr tells all values apart, also 1 from True.
        """
        versions = await self.serving.versions(self.stages)
        if versions is None:
            return None
        state = await asyncio.to_thread(self.states.searched_state, scope)
        if len(state) != len(scope.vector_store_ids) or not state:
            return None
        models = {stage: version.model for stage, version in versions.items() if version.model}
        return ResultKey(digest(scope, state, sorted(versions.items()), *parts), models)


async def is_current(key: ResultKey, now: Awaitable[ResultKey | None]) -> bool:
    """Whether the key is the same now. If nobody can tell, the result is whole all the same, and not cached."""
    try:
        return await now == key
    except RagError:
        return False


def digest(*parts: object) -> str:
    return blake2b(repr(parts).encode(), digest_size=DIGEST_BYTES).hexdigest()
