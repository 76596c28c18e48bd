"""Late interaction: each word of the query looks for its best match among the candidate's words.

The token vectors are those of the embedding model itself, so this reranker needs no weights of its own.
Source: Khattab and Zaharia, ColBERT, SIGIR 2020 (MaxSim); the weighting by inverse document frequency is ours.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.embedding.transformer import (
    TransformerConfig,
    encoder_tokenizer,
    load_sentence_transformer,
    padded_features,
)
from models.encoding import Encoding
from models.reranking.base import RerankRequest, RerankWork
from models.reranking.token_cache import TokenVectorCache, TokenVectors
from models.types import FloatArray

WORD = re.compile(r"[^\W_]+")  # as the keyword index cuts words, so that its weights find them
LEAST_SIMILARITY = -1.0  # the cosine of opposite vectors: what a candidate without a word gets


class LateInteractionConfig(TransformerConfig):
    """An entry of kind `late_interaction`; `source` and `package` are an embedding model's."""

    max_tokens: int = Field(ge=8, le=131_072, description="Tokens of a text that count, special tokens included.")
    cache_bytes: int = Field(
        default=256 * 2**20, ge=0, le=2**40, description="Bound on the token vectors kept of candidates seen lately."
    )


@dataclass(frozen=True)
class Remembered:
    """What of a request is known before the forward pass.

    `spans` (n, 2): the characters of the query that each of its tokens stands for; `documents`: the candidates' token
    vectors that were in the cache; `missing`: the candidates that were not, each once.
    """

    spans: NDArray[np.int64]
    documents: dict[str, TokenVectors]
    missing: tuple[str, ...]


class LateInteractionModel:
    """A RerankingModel. Its encodings are the query's, always, and those of the candidates not in the cache."""

    config_class = LateInteractionConfig
    retrieval_weight = 0.4  # measured on four public sets, see docs/quality.md

    def __init__(self, name: str, config: LateInteractionConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name = name
        self._model = load_sentence_transformer(name, config, config.max_tokens)
        self._tokenizer = encoder_tokenizer(name, self._model.tokenizer, config.max_tokens)
        self._cache = TokenVectorCache(config.cache_bytes)

    def tokenize(self, request: RerankRequest) -> RerankWork:
        if not request.texts:
            return RerankWork(request, ())
        texts = list(dict.fromkeys(request.texts))
        documents = self._cache.get_many(texts)
        missing = tuple(text for text in texts if text not in documents)
        query, spans = self._tokenizer.encode_with_spans(request.query)
        return RerankWork(request, (query, *self._tokenizer.encode(missing)), Remembered(spans, documents, missing))

    def forward(self, batch: Sequence[Encoding]) -> list[TokenVectors]:
        """The unit vectors of each encoding's tokens (len(encoding), dim), float16."""
        import torch

        with torch.inference_mode():
            features = padded_features(batch, self._tokenizer.pad_id, self._model.device)
            hidden = self._model[0](features)["token_embeddings"]
            vectors = torch.nn.functional.normalize(hidden.float(), dim=-1).half().cpu().numpy()
        return [rows[: len(encoding)] for rows, encoding in zip(vectors, batch, strict=True)]

    def finish(self, work: RerankWork, outputs: Sequence[TokenVectors]) -> FloatArray:
        if not work.encodings:
            return np.empty(0, np.float32)
        request, remembered = work.request, work.kept
        # Copies: a slice of a batch would keep the whole batch in memory for as long as it is in the cache.
        query, *fresh = [self._tokenizer.inner(vectors).copy() for vectors in outputs]
        documents = remembered.documents | dict(zip(remembered.missing, fresh, strict=True))
        for text, vectors in zip(remembered.missing, fresh, strict=True):
            self._cache.put(text, vectors)
        weights = token_weights(request.query, self._tokenizer.inner(remembered.spans), request.term_weights)
        candidates = [documents[text] for text in request.texts]
        tokens = np.concatenate([query[:0], *candidates])
        return max_sim(_widen(query), weights, _widen(tokens), [len(one) for one in candidates])

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        """The mean cosine, none below 0."""
        return np.clip(scores, 0, 1)


def token_weights(query: str, spans: NDArray[np.int64], term_weights: dict[str, float]) -> FloatArray:
    """The weight of each token (n,): its word's, the highest for an unknown word, 0 between words.

    All 1 where there are no term weights, or where they leave nothing.
    """
    uniform = np.ones(len(spans), np.float32)
    if not term_weights:
        return uniform
    words = list(WORD.finditer(query))
    starts, unknown = [word.start() for word in words], max(term_weights.values())
    weights = np.zeros(len(spans), np.float32)
    for token, start in enumerate(spans[:, 0].tolist()):
        position = bisect_right(starts, start) - 1
        if position >= 0 and start < words[position].end():
            weights[token] = term_weights.get(words[position].group().lower(), unknown)
    return weights if weights.any() else uniform


def max_sim(query: FloatArray, weights: FloatArray, tokens: FloatArray, lengths: list[int]) -> FloatArray:
    """The weighted mean over the query's tokens of each one's best cosine in a document (len(lengths),), -1 to 1.

    `query` (n, dim), `weights` (n,); `tokens` (sum(lengths), dim) are the documents' tokens, one after the other.
    """
    scores = np.full(len(lengths), LEAST_SIMILARITY, np.float32)
    counts = np.array(lengths, np.int64)
    filled = counts > 0  # reduceat would give an empty document its neighbour's first token
    if not filled.any() or not len(query):
        return scores
    starts = np.cumsum(counts[filled]) - counts[filled]
    best = np.maximum.reduceat(query @ tokens.T, starts, axis=1)
    scores[filled] = weights @ best / weights.sum()
    return scores


def _widen(vectors: TokenVectors) -> FloatArray:
    # Torch widens 4,700 vectors in 0.1 ms, numpy in 2.3 ms: more than the rest of max_sim.
    import torch

    return torch.from_numpy(vectors).float().numpy()
