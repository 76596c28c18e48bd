"""Recalled passages beside those of the documents."""

from dataclasses import replace

import numpy as np

from models.generation.own_context import context_evidence
from models.generation.reading import spans_in_indexed_text
from models.types.request_context import RequestContext
from serve.conversations.passages import texts_of
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace


class RecalledRetrieval:
    """Adds what a query recalls at the end of what it retrieves. Its evidence counts too."""

    def __init__(self, retrieval: Retrieving) -> None:
        self._retrieval = retrieval

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        recalled = query.recalled
        retrieved = await self._retrieval.retrieve(replace(query, recalled=()), context, trace)
        if not recalled:
            return retrieved
        unknown = tuple(np.full(len(spans_in_indexed_text(passage)), np.nan, np.float32) for passage in recalled)
        evidence = max(retrieved.evidence or 0.0, context_evidence(query.text, texts_of(recalled)))
        return replace(
            retrieved,
            passages=(*retrieved.passages, *recalled),
            sentence_scores=(*retrieved.sentence_scores, *unknown) if retrieved.sentence_scores else (),
            evidence=evidence,
        )
