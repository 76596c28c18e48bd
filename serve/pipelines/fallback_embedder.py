"""An embedder that answers from elsewhere, with equal vectors, while the Embedder does not."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from deployments.calls.stage_breaker import StageBreaker
from deployments.telemetry.metrics.stages import STAGE_RETRIES
from models.corpus.embedding_references import MAX_GENERATIONS, EmbeddingReferences
from models.deadline import Deadline
from models.errors.base import RagError
from models.errors.model_failures import UnequalVectorsError
from models.errors.stages import DeadlineExceededError
from models.stage_status import StageStatus
from models.types.request_context import BACKGROUND_PRIORITY, RequestContext
from models.types.stage_results import Embeddings
from serve.pipelines.equal_vectors import PROBES_ID, EmbedFallbackConfig, check_equal, embed_probes
from serve.pipelines.failures import STAGE_FAILURES
from serve.pipelines.stages import EmbedStage
from serve.pipelines.wrapped_embedder import WrappedEmbedder

STAGE = "embed"
TRY_TIME = 0.5  # of a question's remaining time; what follows has the other half
CHECK_BUDGET_S = 5.0
FIRST_CHECKS_S = 2.0  # between attempts, until the Embedder has answered once
RETRY_S = 1.0  # between comparisons with a model that did not answer one, while questions come

logger = logging.getLogger(__name__)


class GuardedEmbedder(EmbedStage, Protocol):
    """An EmbedStage behind a breaker: EmbedderClient."""

    breaker: StageBreaker


class FallbackModel:
    """A model of the list, and what the last comparison with the Embedder said."""

    def __init__(self, alias: str, embedder: EmbedStage, load: Callable[[], Awaitable[None]]) -> None:
        """`load` loads the model into this process, if it is not behind a URL. It may raise anything."""
        self.alias, self.embedder, self._load = alias, embedder, load
        self._is_loaded = False
        self._equal: set[str] = set()  # generations
        self.error: RagError | None = None  # of the last comparison

    @property
    def state(self) -> str:
        if not self._is_loaded:
            return "not_loaded"
        if self.error is not None:
            return self.error.code
        return "ready" if self._equal else "unchecked"

    def is_equal(self, generation: str) -> bool:
        """Whether its vectors were the Embedder's when it last answered a comparison."""
        return generation in self._equal

    def may_answer(self, generation: str) -> bool:
        return self.is_equal(generation) and self.error is None

    async def load(self) -> None:
        try:
            await self._load()
        except Exception:
            logger.exception("the embedder's fallback %s does not load", self.alias)
        else:
            self._is_loaded = True

    async def compare(self, references: Mapping[str, Sequence[Embeddings]], min_cosine: float) -> None:
        """Compare its vectors of the probes with those of each generation. The verdicts stay if it does not answer."""
        if not self._is_loaded:
            return
        try:
            vectors = await embed_probes(self.embedder, _own_context())
        except RagError as error:
            self._note(error)
            return
        errors = {name: _difference(self.alias, vectors, each, min_cosine) for name, each in references.items()}
        self._equal = {name for name, error in errors.items() if error is None}
        self._note(None if self._equal else next(iter(errors.values()), None))

    def _note(self, error: RagError | None) -> None:
        if error is not None and str(error) != str(self.error):
            logger.error("the embedder's fallback %s does not answer questions: %s", self.alias, error)
        self.error = error


@dataclass(frozen=True)
class _Question:
    """A query to embed, in the space of `generation`."""

    text: str
    context: RequestContext
    generation: str
    with_tokens: bool


class FallbackEmbedder(WrappedEmbedder):
    """Satisfies EmbedStage. A query that the Embedder does not embed goes to the models of the list, in order.

    A model answers only while its vectors equal the Embedder's. They are compared at the start, at each switch and
    every `check_s`, by a few texts, whose vectors by the Embedder are stored for that. All else waits for the Embedder:
    documents, and vectors that a client asks for, since they are stored. Belongs to one event loop.
    """

    def __init__(
        self,
        embedder: GuardedEmbedder,
        models: Sequence[FallbackModel],
        config: EmbedFallbackConfig,
        stored: EmbeddingReferences,
    ) -> None:
        super().__init__(embedder)
        self._breaker, self._models, self._config, self._stored = embedder.breaker, models, config, stored
        self._stored_generation = ""  # by this process
        self._references: dict[str, list[Embeddings]] = {}  # the probes' vectors, by generation, the newest last
        self._has_switched = False  # the Embedder did not embed the last query
        self._switch: asyncio.Task[None] | None = None  # the comparison that the first queries wait for
        self._retry: asyncio.Task[None] | None = None  # one beside the queries
        self._compared_at = 0.0

    async def embed_query(
        self, text: str, context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        """As EmbedStage. Raises what the Embedder raised if no model answers."""
        question = _Question(text, context, generation or next(reversed(self._references), ""), with_tokens)
        models = [model for model in self._models if model.is_equal(question.generation)]
        references = self._references.get(question.generation)  # a model that was swapped twice meanwhile has none
        if references is None or not any(model.may_answer(question.generation) for model in models):
            self._retry_comparison(models)
            return await self._embedder.embed_query(text, context, generation, with_tokens)
        try:
            embedded = await self._try_embedder(question, generation)
        except STAGE_FAILURES as error:
            return await self._fall_back(question, models, (references[0].model, error))
        self._has_switched = False
        return embedded

    @property
    def has_equal(self) -> bool:
        """Whether a model answers now for the Embedder's."""
        newest = next(reversed(self._references), "")
        return any(model.may_answer(newest) for model in self._models)

    async def _try_embedder(self, question: _Question, generation: str | None) -> Embeddings:
        """A hung Embedder costs a part of the question's time, and its breaker counts that as if it had all of it."""
        budget_s = question.context.remaining_s()
        early_s = min(self._config.try_s, TRY_TIME * budget_s)
        early = question.context.at_most(early_s)
        try:
            return await self._embedder.embed_query(question.text, early, generation, question.with_tokens)
        except DeadlineExceededError as error:
            self._breaker.cut_short(error, early_s, budget_s)
            raise

    async def _fall_back(
        self, question: _Question, models: Sequence[FallbackModel], failed: tuple[str, RagError]
    ) -> Embeddings:
        """`failed`: the Embedder's model, and what it raised."""
        embedder_model, error = failed
        attempts = [(embedder_model, error.code)]
        await self._check_switch(question.context)
        self._retry_comparison(models)
        for model in models:
            STAGE_RETRIES.labels(STAGE).inc()
            try:
                embedded = await self._embed(question, model, is_last=model is models[-1])
            except RagError as failure:
                attempts.append((model.alias, failure.code))
                continue
            return replace(embedded, generation=question.generation, fell_back=tuple(attempts))
        raise error

    async def _embed(self, question: _Question, model: FallbackModel, is_last: bool) -> Embeddings:
        """In the model's own vector space, which has another name behind a URL."""
        if not model.may_answer(question.generation):
            raise model.error or UnequalVectorsError(model.alias, f"none of {question.generation}")
        context = question.context
        own = context if is_last else context.at_most(TRY_TIME * context.remaining_s())
        return await model.embedder.embed_query(question.text, own, None, question.with_tokens)

    async def _check_switch(self, context: RequestContext) -> None:
        """Compare before the first query that a fallback embeds; the queries beside it wait too."""
        if not self._has_switched:
            self._has_switched = True
            if self._switch is None:
                self._switch = asyncio.ensure_future(self._compare())
                self._switch.add_done_callback(lambda _: setattr(self, "_switch", None))
        if self._switch is not None:
            await asyncio.wait({self._switch}, timeout=TRY_TIME * context.remaining_s())

    def _retry_comparison(self, models: Sequence[FallbackModel]) -> None:
        """Beside the queries, compare again with models that did not answer."""
        is_due = self._retry is None and time.monotonic() >= self._compared_at + RETRY_S
        if is_due and any(model.error for model in models):
            self._retry = asyncio.ensure_future(self._compare())
            self._retry.add_done_callback(lambda _: setattr(self, "_retry", None))

    async def _compare(self) -> None:
        if not self._references:
            return
        await asyncio.gather(*(model.compare(self._references, self._config.min_cosine) for model in self._models))
        self._compared_at = time.monotonic()

    async def run(self) -> None:
        """Load the models, and compare them until cancelled."""
        try:
            await asyncio.gather(*(model.load() for model in self._models))
            while True:
                if not self._references:
                    await self._read_references()
                    await self._compare()
                await self._keep_reference()
                await self._compare()
                await asyncio.sleep(self._config.check_s if self._references else FIRST_CHECKS_S)
        finally:
            for comparison in (self._switch, self._retry):
                if comparison is not None:
                    comparison.cancel()

    async def _keep_reference(self) -> None:
        """The Embedder's vectors of the probes. While it does not answer, those of the last time stay."""
        try:
            vectors = await embed_probes(self._embedder, _own_context())
        except RagError:
            return
        generation = vectors[0].generation
        if any(each.generation != generation for each in vectors):
            return  # the model changed meanwhile
        self._references.pop(generation, None)
        self._references[generation] = vectors
        for old in list(self._references)[:-MAX_GENERATIONS]:
            del self._references[old]
        if generation != self._stored_generation:
            await self._store(vectors)

    async def _read_references(self) -> None:
        """Those that a process stored before: the Embedder may be away when this one starts."""
        try:
            self._references = await asyncio.to_thread(self._stored.get, PROBES_ID)
        except RagError as error:
            logger.warning("the embedder's stored vectors were not read: %s", error)

    async def _store(self, vectors: Sequence[Embeddings]) -> None:
        try:
            await asyncio.to_thread(self._stored.put, PROBES_ID, vectors)
        except RagError as error:
            logger.warning("the embedder's vectors were not stored, and will be at the next comparison: %s", error)
        else:
            self._stored_generation = vectors[0].generation

    async def status(self, context: RequestContext) -> StageStatus:
        """The Embedder's, with the state of each fallback."""
        status = await super().status(context)
        return replace(status, fallbacks=tuple((model.alias, model.state) for model in self._models))


def _own_context() -> RequestContext:
    """Of comparisons: in the background, where no breaker refuses them, and they open none."""
    return RequestContext("embed_fallback", "", Deadline.after(CHECK_BUDGET_S), BACKGROUND_PRIORITY)


def _difference(
    alias: str, vectors: Sequence[Embeddings], reference: Sequence[Embeddings], min_cosine: float
) -> UnequalVectorsError | None:
    try:
        check_equal(alias, vectors, reference, min_cosine)
    except UnequalVectorsError as error:
        return error
    return None
