"""Evidence around retrieval: how likely its passages answer the question."""

from dataclasses import replace

from models.generation.evidence import Signals, estimate_evidence
from models.generation.evidence_weights import SPACES
from models.types.arrays import FloatArray
from models.types.request_context import RequestContext
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
        signals, scores = _measured(retrieved)
        weights = retrieved.term_weights
        return replace(retrieved, evidence=estimate_evidence(query.text, retrieved.passages, weights, scores, signals))


def _measured(retrieved: Retrieved) -> tuple[Signals, tuple[FloatArray, ...]]:
    """The signals and the scores of sentences, without those of an embedding model that was not measured."""
    space = SPACES.get(retrieved.trace.models.get("embed") or "")
    if space is None:
        return Signals(num_candidates=retrieved.signals.num_candidates), ()
    return replace(retrieved.signals, space=space), retrieved.sentence_scores
