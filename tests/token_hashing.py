"""Late interaction without weights: a word's token vector is its bucket, so MaxSim counts the words two texts share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.embedding.base import TokenEmbedding
from models.embedding.hashing_model import WORD, HashingConfig, HashingModel
from models.errors.base import RagError
from models.index.max_sim import max_sim
from models.reranking.blend import blend
from models.reranking.late_interaction import token_weights
from models.reranking.query import SearchedQuery
from models.stage_status import StageStatus, TokenScoring
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.stage_results import Relevance, Reranking


class TokenHashingModel(HashingModel):
    """A TokenEmbeddingModel: the token vectors of a text are unit vectors, one for each of its words."""

    has_token_vectors = True

    def forward_tokens(self, batch: Sequence[Encoding]) -> list[TokenEmbedding]:
        vectors = self.forward(batch)
        tokens = [self._token_vectors(encoding) for encoding in batch]
        return [TokenEmbedding(vector, rows.astype(np.float16)) for vector, rows in zip(vectors, tokens, strict=True)]

    def query_token_spans(self, text: str) -> NDArray[np.int64]:
        return np.array([word.span() for word in WORD.finditer(text)], np.int64).reshape(-1, 2)

    document_token_spans = query_token_spans

    def max_sim(self, query: str, texts: Sequence[str], term_weights: dict[str, float]) -> FloatArray:
        """The exact score of each text."""
        (read,) = self.forward_tokens(self.tokenize_queries([query]))
        documents = [document.tokens for document in self.forward_tokens(self.tokenize_documents(texts))]
        weights = token_weights(query, self.query_token_spans(query), term_weights)
        tokens = np.concatenate([read.tokens[:0], *documents]).astype(np.float32)
        return max_sim(read.tokens.astype(np.float32), weights, tokens, list(map(len, documents)))

    def _token_vectors(self, encoding: Encoding) -> FloatArray:
        buckets, minus = np.divmod(encoding.ids[1:] - 1, 2)
        vectors = np.zeros((len(buckets), self.dim), np.float32)
        vectors[np.arange(len(buckets)), buckets] = 1.0 - 2.0 * minus
        return vectors


class HashingReranker:
    """A TokenReranker: late interaction over the words' buckets. It counts the texts that it reads.

    `scoring` is its own to change: a cross-encoder has none. `model` is the alias that it answers under.
    """

    def __init__(self, *generations: str, retrieval_weight: float = 0.0) -> None:
        self.model, self.num_read = "hashing-late", 0
        self.error: RagError | None = None
        self.scoring: TokenScoring | None = TokenScoring(self.model, retrieval_weight, generations)
        self._model = TokenHashingModel("hashing", HashingConfig(dim=512))
        self._retrieval_weight = retrieval_weight

    def reads_tokens(self, generation: str) -> bool:
        return False

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        scores = self._read(query.text, [passage.indexed_text for passage in candidates], query.term_weights)
        return Reranking(blend(scores, self._retrieval_weight), self.model)

    async def score(self, query: str, texts: Sequence[str], context: RequestContext) -> Relevance:
        scores = self._read(query, texts, {})
        return Relevance(np.clip(scores, 0, 1), scores, self.model)

    async def score_as_stored(
        self, query: SearchedQuery, candidates: list[Passage], context: RequestContext
    ) -> Relevance:
        scores = self._read(query.text, [passage.indexed_text for passage in candidates], query.term_weights)
        return Relevance(np.clip(scores, 0, 1), scores, self.model)

    async def status(self, context: RequestContext) -> StageStatus:
        if self.error is not None:
            raise self.error
        return StageStatus(self.model, token_scoring=self.scoring)

    def _read(self, query: str, texts: Sequence[str], term_weights: dict[str, float]) -> FloatArray:
        if self.error is not None:
            raise self.error
        self.num_read += len(texts)
        return self._model.max_sim(query, texts, term_weights)
