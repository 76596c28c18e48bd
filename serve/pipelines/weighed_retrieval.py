"""Evidence around retrieval: how likely its passages answer the question."""

from dataclasses import replace

from models.generation.evidence import MEASURED_EMBEDDINGS, Signals, estimate_evidence
from models.types import RequestContext
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace


class WeighedRetrieval:
    """Adds `evidence` to what is retrieved for an answer, if nothing did before. It changes no passage."""

    def __init__(self, retrieval: Retrieving) -> None:
        self._retrieval = retrieval

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        retrieved = await self._retrieval.retrieve(query, context, trace)
        if not query.sentences or retrieved.evidence is not None:
            return retrieved
        is_measured = retrieved.trace.models.get("embed") in MEASURED_EMBEDDINGS
        signals = retrieved.signals if is_measured else Signals(num_candidates=retrieved.signals.num_candidates)
        scores = retrieved.sentence_scores if is_measured else ()
        weights = retrieved.term_weights
        return replace(retrieved, evidence=estimate_evidence(query.text, retrieved.passages, weights, scores, signals))
