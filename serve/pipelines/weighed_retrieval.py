"""Evidence around retrieval: how likely its passages answer the question."""

from dataclasses import replace

from models.generation.evidence import MEASURED_EMBEDDINGS, Signals, estimate_evidence
from models.types import RequestContext
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace


class WeighedRetrieval:
    """Adds `evidence` to what is retrieved for an answer. It changes no passage."""

    def __init__(self, retrieval: Retrieving) -> None:
        self._retrieval = retrieval

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        retrieved = await self._retrieval.retrieve(query, context, trace)
        if not query.sentences:
            return retrieved
        is_measured = retrieved.trace.models.get("embed") in MEASURED_EMBEDDINGS
        scores, signals = (retrieved.sentence_scores, retrieved.signals) if is_measured else ((), Signals())
        weights = retrieved.term_weights
        return replace(retrieved, evidence=estimate_evidence(query.text, retrieved.passages, weights, scores, signals))
