"""A changed embedding model: the next index generation is built beside the one that is searched, then they flip.

Nobody asks for it: when the embedder's configured model differs from a vector store's generation, the store is due.
Going back to the model before is the same path; only the chunks that came meanwhile need a vector then.
"""

import asyncio
import logging
import uuid

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.corpus import Corpus
from models.corpus.generations import Build
from models.errors import ConflictError, RagError, StageUnavailableError
from models.types import BACKGROUND_PRIORITY, Deadline, RequestContext
from serve.pipelines.stages import EmbedStage
from serve.pipelines.wakeup import Wakeup

logger = logging.getLogger(__name__)

STATUS_S = 10.0


class MigrationConfig(BaseModel):
    """The budget of building an index generation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunks_per_step: int = Field(default=32, ge=1, le=4096, description="Chunks embedded and stored at once.")
    duty: float = Field(
        default=0.5, gt=0, le=1, description="Share of the time that is spent building; the rest is left to others."
    )
    step_s: float = Field(default=120.0, gt=0, le=3600, description="Time for one step, in seconds.")
    lease_s: float = Field(default=60.0, ge=5, le=3600, description="A build is another's when unrenewed for so long.")
    poll_s: float = Field(default=2.0, gt=0, le=600, description="How often to look for stores that are due.")
    keep_previous_s: float = Field(
        default=7 * 86_400.0, ge=0, le=365 * 86_400, description="How long the vectors before a flip are kept."
    )


class GenerationBuilder:
    """Builds the generation of the embedder's model for each store that is not at it, one store at a time."""

    def __init__(self, embedder: EmbedStage, corpus: Corpus, config: MigrationConfig) -> None:
        self._embedder, self._corpus, self._config = embedder, corpus, config
        self._wakeup = Wakeup()
        self._owner = f"builder-{uuid.uuid4().hex}"
        self._seen = ""

    def configure(self, config: MigrationConfig) -> None:
        """Takes effect with the next step of a build."""
        self._config = config
        self._wakeup.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            build = await self._claim()
            if build is None or not await self._see_through(build):
                await self._wakeup.wait(self._config.poll_s)

    async def _claim(self) -> Build | None:
        target = await self._target()
        if target is None:
            return None
        return await asyncio.to_thread(self._corpus.generations.claim, self._owner, target, self._config.lease_s)

    async def _target(self) -> str | None:
        """The embedder's generation, once two looks agree: while replicas are reconfigured they may differ."""
        try:
            status = await self._embedder.status(self._context("", STATUS_S))
        except RagError:
            return None
        before, self._seen = self._seen, status.generation
        return status.generation if status.generation == before else None

    def _context(self, tenant: str, budget_s: float) -> RequestContext:
        return RequestContext(self._owner, tenant, Deadline.after(budget_s), BACKGROUND_PRIORITY)

    async def _see_through(self, build: Build) -> bool:
        """Whether it went well; if not, it is tried again after a pause, by whoever comes first."""
        logger.info("building %s for vector store %s", build.generation, build.vector_store_id)
        try:
            await self.build(build)
        except ConflictError as error:
            logger.info("the build stops: %s", error)
            return False
        except RagError as error:
            logger.warning("the build of %s waits: %s", build.generation, error)
            await asyncio.to_thread(self._corpus.generations.release, build)
            return False
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.to_thread(self._corpus.generations.release, build))
            raise
        return True

    async def build(self, build: Build) -> None:
        """Gives every chunk its vector, then flips. Raises ConflictError if the build was lost or given up."""
        while not await asyncio.to_thread(self._corpus.generations.flip, build):
            after_key: int | None = 0
            while after_key is not None:
                after_key = await self._step(build, after_key)
        logger.info("vector store %s is searched in %s now", build.vector_store_id, build.generation)

    async def _step(self, build: Build, after_key: int) -> int | None:
        """The last chunk that was given its vector; None when there was none left."""
        clock, generations = asyncio.get_running_loop().time, self._corpus.generations
        start = clock()
        pending = await asyncio.to_thread(generations.pending, build, self._config.chunks_per_step, after_key)
        if not pending:
            return None
        texts = [chunk.text for chunk in pending]
        context = self._context(build.tenant, self._config.step_s)
        embedded = await self._embedder.embed_documents(texts, context, build.generation)
        await asyncio.to_thread(generations.add, build, pending, embedded.vectors)
        await asyncio.sleep((clock() - start) * (1 - self._config.duty) / self._config.duty)
        if await self._target() not in (None, build.generation):
            raise StageUnavailableError("embed")  # configured otherwise by now: let go, and look again
        await asyncio.to_thread(generations.renew, build, self._config.lease_s)
        return pending[-1].key
