"""Earlier results in place of stages that are down: marked with their age, for equal requests alone, off by default.

Nothing answers that was deleted or withdrawn. Of a retrieval the ranking is kept, and its passages are read
anew: a deleted file, or one that the request may no longer read, is not among them. A generated text is found only by
the passages that it was written from, as they are now.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import orjson

from models.filters import matches
from models.generation.markers import renumbered
from models.types.chunks import Passage
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.caching.keys import digest
from serve.caching.level import CacheLevel
from serve.pipelines.failures import STAGE_FAILURES
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.stages import GenerateStage, PassageSource
from serve.pipelines.trace import Trace


@dataclass(frozen=True)
class StaleStore:
    """The entries, and who made them: `last_model` is the model that a stage last reported, None if it never did."""

    level: CacheLevel
    max_age_s: float
    last_model: Callable[[str], str | None]
    clock: Callable[[], float] = time.time  # Redis outlives a process

    def put(self, key: str, entry: dict[str, Any]) -> None:
        self.level.put(key, orjson.dumps(entry | {"at": self.clock()}))

    async def get(self, key: str) -> tuple[dict[str, Any], float] | None:
        """The entry and its age in seconds; None if there is none, or an older one."""
        stored = await self.level.get_decoded(key, self._with_age)
        return stored if stored is not None and stored[1] <= self.max_age_s else None

    def _with_age(self, payload: bytes) -> tuple[dict[str, Any], float]:
        entry: dict[str, Any] = orjson.loads(payload)
        return entry, max(0.0, self.clock() - entry["at"])


class StaleRetrieval:
    """Satisfies Retrieving. If no search can answer, the ranking that an equal query had before answers."""

    def __init__(self, retrieval: Retrieving, store: StaleStore, passages: PassageSource, settings: object) -> None:
        self._retrieval, self._store, self._passages = retrieval, store, passages
        self._settings = digest(settings)

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        trace = trace or Trace()
        if not context.use_caches:
            return await self._retrieval.retrieve(query, context, trace)
        try:
            retrieved = await self._retrieval.retrieve(query, context, trace)
        except STAGE_FAILURES as error:
            stale = None if query.options.degrade == "never" else await self._stale(query, trace)
            if stale is None:
                raise
            retrieved, age_s = stale
            trace.leave_out("retrieval_stale", error)
            trace.note_age("retrieval_stale", age_s)
            return retrieved
        if not trace.degraded and retrieved.passages:
            self._keep(query, retrieved)
        return retrieved

    def _key(self, query: RetrievalQuery) -> str:
        return digest("retrieval", replace(query, recalled=()), self._settings)

    def _keep(self, query: RetrievalQuery, retrieved: Retrieved) -> None:
        ranking = [[passage.key, float(passage.score)] for passage in retrieved.passages]
        weights, models = retrieved.term_weights, retrieved.trace.models
        entry = {"ranking": ranking, "weights": weights, "models": models, "candidates": retrieved.num_candidates}
        self._store.put(self._key(query), entry)

    async def _stale(self, query: RetrievalQuery, trace: Trace) -> tuple[Retrieved, float] | None:
        """What is left of the earlier ranking, and its age; None if nothing is."""
        stored = await self._store.get(self._key(query))
        if stored is None:
            return None
        entry, age_s = stored
        passages = await asyncio.to_thread(self._readable, query, dict(entry["ranking"]))
        if not passages:
            return None
        trace.models.update(entry["models"])
        return Retrieved(passages, entry["weights"], trace, entry["candidates"]), age_s

    def _readable(self, query: RetrievalQuery, scores: dict[int, float]) -> tuple[Passage, ...]:
        """The passages as they are now, without those that are gone or do not match the query's filters any more."""
        by_key = self._passages.passages(list(scores), query.scope)
        current = [by_key[key].scored(score) for key, score in scores.items() if key in by_key]
        return tuple(each for each in current if query.where is None or matches(query.where, each.attributes))


class KeptGeneration:
    """A GenerateStage that keeps the whole texts of a language model, for StaleGeneration."""

    def __init__(self, generator: GenerateStage, store: StaleStore) -> None:
        self._generator, self._store = generator, store

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        deltas = list[GenerationDelta]()
        async with aclosing(self._generator.stream(request, context)) as generated:
            async for delta in generated:
                deltas.append(delta)
                yield delta
        if context.use_caches and _can_be_stale(request) and _is_kept(deltas):
            self._store.put(_key(request, context), _entry(request, deltas))


class StaleGeneration:
    """A GenerateStage for when the generator fails: the text that it wrote from the same passages before.

    Without one, `fallback` answers.
    """

    def __init__(self, fallback: GenerateStage, store: StaleStore) -> None:
        self._fallback, self._store = fallback, store

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        """As GenerateStage. The last delta has the age."""
        may_be_stale = context.use_caches and _can_be_stale(request)
        stored = await self._store.get(_key(request, context)) if may_be_stale else None
        if stored is None or stored[0]["model"] != self._store.last_model("generate"):
            async with aclosing(self._fallback.stream(request, context)) as deltas:
                async for delta in deltas:
                    yield delta
            return
        entry, age_s = stored
        places = {passage.key: place for place, passage in enumerate(request.passages, 1)}
        text = renumbered(entry["text"], {old: places[key] for old, key in enumerate(entry["passages"], 1)})
        yield GenerationDelta(text, model=entry["model"])
        left_out = tuple(entry["left_out"])
        yield GenerationDelta("", entry["finish_reason"], model=entry["model"], left_out=left_out, stale_s=age_s)


def _can_be_stale(request: GenerationRequest) -> bool:
    """Whether the answer is a text from stored documents alone, not from functions or from what is remembered."""
    is_text = request.functions is None and request.sampling.response_schema is None
    return is_text and bool(request.passages) and all(passage.is_from_file for passage in request.passages)


def _is_kept(deltas: list[GenerationDelta]) -> bool:
    """Whether a language model wrote all of the text; `marks` are those of quotes."""
    last = deltas[-1] if deltas else GenerationDelta("")
    is_whole = last.finish_reason == "stop" and not (last.is_partial or last.fell_back or last.failed_canary)
    is_written = bool(last.model) and all(each.marks is None and not each.calls for each in deltas)
    return is_whole and is_written and any(each.text for each in deltas)


def _entry(request: GenerationRequest, deltas: list[GenerationDelta]) -> dict[str, Any]:
    last = deltas[-1]
    return {
        "text": "".join(delta.text for delta in deltas),
        "passages": [passage.key for passage in request.passages],
        "model": last.model,
        "finish_reason": last.finish_reason,
        "left_out": last.left_out,
    }


def _key(request: GenerationRequest, context: RequestContext) -> str:
    """All that the text depends on. The order of the passages in the prompt changes with the questions of others."""
    passages = sorted((each.key, each.filename, each.start, each.end, each.text) for each in request.passages)
    question = (request.messages, request.search_query, request.sampling, request.form, request.prompt)
    return digest("generate", context.tenant, passages, *question, request.is_strict, request.is_whole)
