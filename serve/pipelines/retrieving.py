"""The protocol of retrieval: a query in, ranked passages out. A cache, a router or an agent wraps `Retrieving`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from models.filters import Filter
from models.generation.evidence import Signals
from models.index.fusion import FusionMethod
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.pipelines.trace import Trace
from serve.pipelines.understanding import Understanding

Mode = Literal["auto", "hybrid", "dense", "lexical"]
Degrade = Literal["allow", "never"]


@dataclass(frozen=True)
class RetrievalOptions:
    """The choices of one request; None leaves the configured default.

    `mode` auto sends identifiers and quoted phrases to the keyword search, and everything else to both searches.
    Passages below `score_threshold` are dropped. `diversity` above 0 trades relevance for difference among the results.
    `understanding`: see the class. `degrade` never: an error in place of a result without the work of a stage.
    """

    mode: Mode = "auto"
    rerank: bool = True
    fusion: FusionMethod | None = None
    dense_weight: float | None = None
    lexical_weight: float | None = None
    score_threshold: float = 0.0
    diversity: float = 0.0
    dedup: bool = True
    understanding: Understanding = field(default_factory=Understanding)
    degrade: Degrade = "allow"


@dataclass(frozen=True)
class RetrievalQuery:
    """A question, the vector stores to search, and the number of passages. Each passage contains all `phrases`.

    `sentences`: also score the sentences of the passages, for an answer that quotes. `recalled`: passages that were not
    searched for, and come after the others.
    """

    text: str
    scope: Scope
    top_k: int
    where: Filter | None = None
    options: RetrievalOptions = field(default_factory=RetrievalOptions)
    phrases: tuple[str, ...] = ()
    sentences: bool = False
    recalled: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class Retrieved:
    """Passages best first, scores 0 to 1; the weight of each word of the question in the corpus.

    `num_candidates` counts the passages before `score_threshold` and `top_k`. `sentence_scores`: see GenerationRequest.
    `evidence`: see models/generation/evidence.py; None if nothing weighed it.
    """

    passages: tuple[Passage, ...]
    term_weights: dict[str, float]
    trace: Trace
    num_candidates: int = 0
    sentence_scores: tuple[FloatArray, ...] = ()
    signals: Signals = field(default_factory=Signals)
    evidence: float | None = None


class Retrieving(Protocol):
    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """The `top_k` best passages, in `query.scope` only; times and failures go to `trace`, or to a new one.

        Raises RagError when no search can answer.
        """
