"""Migration to another embedding model: builds the next index generation beside the searched one, then flips.

A vector store is due when its generation differs from that of the embedder's configured model. Going back to the
previous model is the same path; only the chunks added since then need a vector.
"""

import asyncio
import logging
import uuid

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.corpus import Corpus
from models.corpus.generations import Build
from models.deadline import Deadline
from models.errors.base import RagError
from models.errors.requests import ConflictError
from models.errors.stages import StageUnavailableError
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext
from serve.pipelines.stages import EmbedStage
from serve.pipelines.wakeup import Wakeup

logger = logging.getLogger(__name__)

STATUS_S = 10.0


class MigrationConfig(BaseModel):
    """The budget of building an index generation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunks_per_step: int = Field(default=32, ge=1, le=4096, description="Chunks embedded and stored at once.")
    duty: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Fraction of the time spent building; a lower value leaves the embedder more time for questions.",
    )
    step_s: float = Field(default=120.0, gt=0, le=3600, description="Time for one step, in seconds.")
    lease_s: float = Field(
        default=60.0,
        ge=5,
        le=3600,
        description="Another worker may claim a build that was not renewed within this time.",
    )
    poll_s: float = Field(
        default=2.0, gt=0, le=600, description="Seconds between two checks for vector stores that need a build."
    )
    keep_previous_s: float = Field(
        default=7 * 86_400.0,
        ge=0,
        le=365 * 86_400,
        description="Time to keep the previous vectors after a flip, in seconds.",
    )


class GenerationBuilder:
    """Builds the generation of the embedder's model for each due vector store, one store at a time."""

    def __init__(self, embedder: EmbedStage, corpus: Corpus, config: MigrationConfig, with_tokens: bool = True) -> None:
        """`with_tokens`: also store the chunks' token vectors, as ingestion does."""
        self._embedder, self._corpus, self._config = embedder, corpus, config
        self._with_tokens = with_tokens
        self._wakeup = Wakeup()
        self._owner = f"builder-{uuid.uuid4().hex}"
        self._last_generation = ""

    def configure(self, config: MigrationConfig, with_tokens: bool) -> None:
        """Takes effect with the next step of a build."""
        self._config, self._with_tokens = config, with_tokens
        self._wakeup.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            build = await self._claim()
            if build is None or not await self._try_build(build):
                await self._wakeup.wait(self._config.poll_s)

    async def _claim(self) -> Build | None:
        target = await self._target()
        if target is None:
            return None
        return await asyncio.to_thread(self._corpus.generations.claim, self._owner, target, self._config.lease_s)

    async def _target(self) -> str | None:
        """The embedder's generation, if two successive answers agree: during a reconfiguration replicas differ."""
        try:
            status = await self._embedder.status(self._context("", STATUS_S))
        except RagError:
            return None
        previous, self._last_generation = self._last_generation, status.generation
        return status.generation if status.generation == previous else None

    def _context(self, tenant: str, budget_s: float) -> RequestContext:
        return RequestContext(self._owner, tenant, Deadline.after(budget_s), BACKGROUND_PRIORITY)

    async def _try_build(self, build: Build) -> bool:
        """Whether the build succeeded. If not, the first free worker tries again after a pause."""
        logger.info("building generation %s of vector store %s", build.generation, build.vector_store_id)
        try:
            await self.build(build)
        except ConflictError as error:
            logger.info("the build was stopped: %s", error)
            return False
        except RagError as error:
            logger.warning("the build of %s is tried again later: %s", build.generation, error)
            await asyncio.to_thread(self._corpus.generations.release, build)
            return False
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.to_thread(self._corpus.generations.release, build))
            raise
        return True

    async def build(self, build: Build) -> None:
        """Embed every chunk, then flip. Raises ConflictError if another worker has the build, or it was abandoned."""
        while not await asyncio.to_thread(self._corpus.generations.flip, build):
            after_key: int | None = 0
            while after_key is not None:
                after_key = await self._step(build, after_key)
        logger.info("vector store %s is now searched in generation %s", build.vector_store_id, build.generation)

    async def _step(self, build: Build, after_key: int) -> int | None:
        """Embed the next chunks, and return the key of the last; None if no chunk lacks a vector."""
        clock, generations = asyncio.get_running_loop().time, self._corpus.generations
        start = clock()
        pending = await asyncio.to_thread(generations.pending, build, self._config.chunks_per_step, after_key)
        if not pending:
            return None
        texts = [chunk.text for chunk in pending]
        context = self._context(build.tenant, self._config.step_s)
        embedded = await self._embedder.embed_documents(texts, context, build.generation, self._with_tokens)
        await asyncio.to_thread(generations.add, build, pending, embedded.vectors, embedded.token_codes)
        await asyncio.sleep((clock() - start) * (1 - self._config.duty) / self._config.duty)
        if await self._target() not in (None, build.generation):
            raise StageUnavailableError(
                "embed"
            )  # another model is configured by now: release the build, and look again
        await asyncio.to_thread(generations.renew, build, self._config.lease_s)
        return pending[-1].key
