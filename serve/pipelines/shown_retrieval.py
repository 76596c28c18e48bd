"""Shows what is around a found piece: the window of a sentence, or the part of the section of a small chunk."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from models.generation.reading import sentences
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace


class ShownTexts(Protocol):
    def shown_texts(self, keys: Sequence[int], scope: Scope) -> dict[int, str]:
        """What a search shows in place of each chunk, for those that show more than themselves. Blocks."""


class ShownRetrieval:
    """Replaces the text and the place of found passages by what they show. Scores and order stay."""

    def __init__(self, retrieval: Retrieving, texts: ShownTexts) -> None:
        self._retrieval, self._texts = retrieval, texts

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        retrieved = await self._retrieval.retrieve(query, context, trace)
        keys = [passage.key for passage in retrieved.passages if passage.shown]
        if not keys:
            return retrieved
        texts = await asyncio.to_thread(self._texts.shown_texts, keys, query.scope)
        shown = tuple(_shown(passage, texts.get(passage.key)) for passage in retrieved.passages)
        scores = retrieved.sentence_scores and tuple(map(_moved, retrieved.passages, shown, retrieved.sentence_scores))
        return replace(retrieved, passages=shown, sentence_scores=scores)


def _shown(passage: Passage, text: str | None) -> Passage:
    """The passage itself if its file was replaced or deleted meanwhile."""
    if passage.shown is None or text is None:
        return passage
    start, end = passage.shown
    place = passage.start - start
    if len(text) != end - start or text[place : place + len(passage.text)] != passage.text:
        return passage
    return replace(passage, text=text, start=start, end=end, shown=None)


def _moved(passage: Passage, shown: Passage, scores: FloatArray) -> FloatArray:
    """The scores of the found sentences at their places among the shown ones. NaN for the others."""
    if shown is passage:
        return scores
    starts = [sentence.span[0] for sentence in sentences(shown.text)]
    moved = np.full(len(starts), np.nan, np.float32)
    for sentence, score in zip(sentences(passage.text), scores, strict=True):
        place = max(0, bisect_right(starts, sentence.span[0] + passage.start - shown.start) - 1)
        moved[place] = np.fmax(moved[place], score)
    return moved
