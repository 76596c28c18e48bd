"""Finds the earlier exchanges and the facts that a question is about, by their vectors and by their words.

Measured by `ragserve bench memory` (docs/quality.md).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from models.corpus.turn_vectors import TurnVectors
from models.corpus.user_facts import UserFacts
from models.errors.base import RagError
from models.generation.question_words import content_words
from models.generation.reading import stems_and_size
from models.generation.words import stem
from models.types.arrays import FloatArray
from models.types.request_context import RequestContext
from serve.conversations.keeping import keep
from serve.pipelines.answering import Memory, Turn
from serve.pipelines.failures import attempt
from serve.pipelines.stages import EmbedStage

WORDS_WEIGHT = 0.3  # of the question's words in an exchange, beside the cosine of its nearest message
MAX_NEW_VECTORS = 128  # a request: those of a longer history are made by the next ones, the newest first
MAX_EMBEDDED_CHARS = 1_000  # of a message
MAX_FACTS = 3  # a question

Save = Callable[[str, dict[str, FloatArray]], Awaitable[None]]


@dataclass(frozen=True)
class Recalled:
    """Exchanges, and facts of the user as turns, both best first. `is_partial`: the embedder failed, words decided."""

    exchanges: tuple[tuple[Turn, ...], ...] = ()
    facts: tuple[Turn, ...] = ()
    is_partial: bool = False


class Recall:
    """Searches memory. Vectors of messages and facts are made when they are first searched, and kept."""

    def __init__(self, embedder: EmbedStage, vectors: TurnVectors, facts: UserFacts) -> None:
        self._embedder, self._vectors, self._facts = embedder, vectors, facts

    async def search(
        self, question: str, memory: Memory, turns: Sequence[Turn], number: int, context: RequestContext
    ) -> Recalled:
        """The `number` best exchanges among `turns`, and facts of the memory's user."""
        if not turns and not memory.user_id:
            return Recalled()
        embedded = await attempt(self._embedder.embed_query(question, context))
        if isinstance(embedded, RagError):
            return await self._by_words(question, memory, turns, number, context)
        generation, [vector] = embedded.generation, embedded.vectors
        known_turns = await self._turn_vectors(memory, turns, generation, context)
        facts, fact_vectors = await self._user_facts(memory, generation, context)
        # In a thread: the words of a long conversation take time.
        best = await asyncio.to_thread(_best, question, vector, exchanges(turns), known_turns, number)
        return Recalled(
            best,
            tuple(fact for [fact] in _best(question, vector, [(fact,) for fact in facts], fact_vectors, MAX_FACTS)),
        )

    async def _by_words(
        self, question: str, memory: Memory, turns: Sequence[Turn], number: int, context: RequestContext
    ) -> Recalled:
        facts, _ = await self._stored_facts(memory, "", context)
        best = _best(question, None, [(fact,) for fact in facts], {}, MAX_FACTS)
        turns_by_words = await asyncio.to_thread(_best, question, None, exchanges(turns), {}, number)
        return Recalled(turns_by_words, tuple(fact for [fact] in best), True)

    async def _turn_vectors(
        self, memory: Memory, turns: Sequence[Turn], generation: str, context: RequestContext
    ) -> Mapping[str, FloatArray]:
        source = memory.source
        if source is None or not turns:
            return {}
        stored = await asyncio.to_thread(self._vectors.load, context.tenant, source, generation)
        new = await self._embed([turn for turn in turns if turn.item_id not in stored], generation, context)
        if new:
            await keep(partial(self._vectors.save, context.tenant, source, generation, new))
        return stored | new

    async def _user_facts(
        self, memory: Memory, generation: str, context: RequestContext
    ) -> tuple[list[Turn], Mapping[str, FloatArray]]:
        facts, stored = await self._stored_facts(memory, generation, context)
        new = await self._embed([fact for fact in facts if fact.item_id not in stored], generation, context)
        if new:
            await keep(partial(self._facts.save_vectors, context.tenant, memory.user_id, generation, new))
        return facts, stored | new

    async def _stored_facts(
        self, memory: Memory, generation: str, context: RequestContext
    ) -> tuple[list[Turn], dict[str, FloatArray]]:
        if not memory.user_id:
            return [], {}
        stored = await asyncio.to_thread(self._facts.of_user, context.tenant, memory.user_id, generation)
        vectors = {fact.fact_id: fact.vector for fact in stored if fact.vector is not None}
        return [Turn(fact.fact_id, "user", fact.text) for fact in stored], vectors

    async def _embed(self, turns: Sequence[Turn], generation: str, context: RequestContext) -> dict[str, FloatArray]:
        """Vectors of the last turns; none if the embedder fails."""
        last = turns[-MAX_NEW_VECTORS:]
        if not last:
            return {}
        texts = [turn.text[:MAX_EMBEDDED_CHARS] for turn in last]
        embedded = await attempt(self._embedder.embed_documents(texts, context, generation))
        if isinstance(embedded, RagError):
            return {}
        return {turn.item_id: vector for turn, vector in zip(last, embedded.vectors, strict=True)}


def exchanges(turns: Sequence[Turn]) -> list[tuple[Turn, ...]]:
    """The turns in groups: what the user said, and what was answered."""
    groups: list[tuple[Turn, ...]] = []
    for turn in turns:
        if turn.role == "user" or not groups:
            groups.append((turn,))
        else:
            groups[-1] = (*groups[-1], turn)
    return groups


def _best(
    question: str,
    vector: FloatArray | None,
    groups: Sequence[tuple[Turn, ...]],
    vectors: Mapping[str, FloatArray],
    number: int,
) -> tuple[tuple[Turn, ...], ...]:
    """The `number` best groups, best first; of equal ones the newer first."""
    scores = group_scores(question, vector, groups, vectors)
    order = sorted(range(len(groups)), key=lambda place: (-scores[place], -place))
    return tuple(groups[place] for place in order[:number])


def group_scores(
    question: str,
    vector: FloatArray | None,
    groups: Sequence[tuple[Turn, ...]],
    vectors: Mapping[str, FloatArray],
) -> list[float]:
    """A score for each group: the cosine of its nearest message, and the weight of the question's words in it.

    The mean cosine stands in for that of a group without vectors.
    """
    by_words = _word_scores(question, groups)
    cosines = [_cosine(vector, group, vectors) for group in groups]
    measured = [cosine for cosine in cosines if not math.isnan(cosine)]
    mean = sum(measured) / len(measured) if measured else 0.0
    return [
        (mean if math.isnan(cosine) else cosine) + WORDS_WEIGHT * score
        for cosine, score in zip(cosines, by_words, strict=True)
    ]


def _cosine(vector: FloatArray | None, group: Sequence[Turn], vectors: Mapping[str, FloatArray]) -> float:
    """NaN for a group without vectors."""
    own = [vectors[turn.item_id] for turn in group if turn.item_id in vectors]
    return float(np.max(np.stack(own) @ vector)) if own and vector is not None else math.nan


def _word_scores(question: str, groups: Sequence[tuple[Turn, ...]]) -> list[float]:
    """The fraction of the question's words in each group, by weight; words of few groups weigh more."""
    stems = [frozenset[str]().union(*(stems_and_size(turn.text)[0] for turn in group)) for group in groups]
    weights = {}
    for word in set(map(stem, content_words(question))):
        count = sum(word in own for own in stems)
        weights[word] = math.log(1 + (len(stems) - count + 0.5) / (count + 0.5))
    total = sum(weights.values()) or 1.0
    return [sum(weight for word, weight in weights.items() if word in own) / total for own in stems]
