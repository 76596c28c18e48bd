"""Late interaction without weights: a word's token vector is its bucket, so MaxSim counts the words two texts share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.embedding.base import TokenEmbedding
from models.embedding.hashing_model import WORD, HashingModel
from models.index.max_sim import max_sim
from models.reranking.late_interaction import token_weights
from models.tokens.encoding import Encoding
from models.types import FloatArray


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
