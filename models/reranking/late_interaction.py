"""Late interaction: each word of the query looks for its best match among the candidate's words.

The token vectors are those of the embedding model itself, so this reranker needs no weights of its own.
Source: Khattab and Zaharia, ColBERT, SIGIR 2020 (MaxSim); the weighting by inverse document frequency is ours.
"""

import re
import threading
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.embedding.sentence_transformers_model import load_sentence_transformer
from models.errors import ModelLoadError
from models.reranking.base import RerankRequest
from models.reranking.token_cache import TokenVectorCache, TokenVectors
from models.source import SourceConfig
from models.types import FloatArray

WORD = re.compile(r"[^\W_]+")  # as the keyword index cuts words, so that its weights find them
LEAST_SIMILARITY = -1.0  # the cosine of opposite vectors: what a candidate without a word gets
OFFSETS, SPECIAL = "offset_mapping", "special_tokens_mask"


class LateInteractionConfig(SourceConfig):
    """An entry of kind `late_interaction`; `source` and `package` are an embedding model's."""

    max_tokens: int = Field(ge=8, le=131_072, description="Tokens of a text that count, special tokens included.")
    batch_size: int = Field(default=8, ge=1, le=1024, description="Texts of one forward pass.")
    cache_bytes: int = Field(
        default=256 * 2**20, ge=0, le=2**40, description="Bound on the token vectors kept of candidates seen lately."
    )


@dataclass(frozen=True)
class EncodedText:
    """`vectors` (n, dim): unit rows, one a token; `spans` (n, 2): the characters of the text that each stands for."""

    vectors: TokenVectors
    spans: NDArray[np.int64]


class LateInteractionModel:
    """A RerankingModel. Calls from several threads take turns: a fast tokenizer cannot be shared."""

    retrieval_weight = 0.4  # measured on four public sets, see docs/quality.md

    def __init__(self, name: str, config: LateInteractionConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name = name
        self._config = config
        self._model = load_sentence_transformer(name, config, config.max_tokens)
        self._tokenizer = self._model.tokenizer
        if not self._tokenizer.is_fast:
            raise ModelLoadError(name, "its tokenizer does not tell where in the text a token is")
        self._cache = TokenVectorCache(config.cache_bytes)
        self._lock = threading.Lock()

    def score(self, requests: list[RerankRequest]) -> list[FloatArray]:
        queries, documents = self._encode_requests(requests)
        return [
            _match(request, queries[request.query], [documents[text] for text in request.texts]) for request in requests
        ]

    def _encode_requests(self, requests: list[RerankRequest]) -> tuple[dict[str, EncodedText], dict[str, TokenVectors]]:
        """The queries, always encoded anew, and the candidates, of which only the unseen go through the model."""
        queries = list(dict.fromkeys(request.query for request in requests))
        texts = list(dict.fromkeys(text for request in requests for text in request.texts))
        documents = self._cache.get_many(texts)
        missing = [text for text in texts if text not in documents]
        encoded = self._encode(queries + missing)
        for text, fresh in zip(missing, encoded[len(queries) :], strict=True):
            documents[text] = fresh.vectors
            self._cache.put(text, fresh.vectors)
        return dict(zip(queries, encoded, strict=False)), documents

    def _encode(self, texts: list[str]) -> list[EncodedText]:
        # Neighbours in length share a batch, so that little of it is padding.
        by_length = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        encoded: dict[int, EncodedText] = {}
        with self._lock:
            for start in range(0, len(by_length), self._config.batch_size):
                batch = by_length[start : start + self._config.batch_size]
                encoded |= zip(batch, self._forward([texts[position] for position in batch]), strict=True)
        return [encoded[position] for position in range(len(texts))]

    def _forward(self, texts: list[str]) -> list[EncodedText]:
        import torch

        features = self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self._config.max_tokens,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        spans, special = features.pop(OFFSETS).numpy(), features.pop(SPECIAL).numpy()
        with torch.inference_mode():
            hidden = self._model[0].auto_model(**features.to(self._model.device)).last_hidden_state
            unit = torch.nn.functional.normalize(hidden.float(), dim=-1)
            vectors = unit.half().cpu().numpy()
        # Padding is marked as special too.
        return [EncodedText(vectors[row][mask == 0], spans[row][mask == 0]) for row, mask in enumerate(special)]


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


def _match(request: RerankRequest, query: EncodedText, documents: list[TokenVectors]) -> FloatArray:
    weights = token_weights(request.query, query.spans, request.term_weights)
    tokens = np.concatenate([query.vectors[:0], *documents])
    return max_sim(_widen(query.vectors), weights, _widen(tokens), [len(document) for document in documents])


def _widen(vectors: TokenVectors) -> FloatArray:
    # Torch widens 4,700 vectors in 0.1 ms, numpy in 2.3 ms: more than the rest of max_sim.
    import torch

    return torch.from_numpy(vectors).float().numpy()
