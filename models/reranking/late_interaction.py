"""Late interaction: each token of the query is matched with the most similar token of the candidate.

The token vectors come from the embedding model, so this reranker needs no weights of its own.
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
    calling_threads,
    encoder_tokenizer,
    load_sentence_transformer,
    padded_features,
    runs_on,
)
from models.index.max_sim import LEAST_SIMILARITY, max_sim
from models.index.token_codec import encode_tokens, max_sim_scores
from models.reranking.base import RerankRequest, RerankWork
from models.reranking.token_cache import TokenVectorCache, TokenVectors
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray

WORD = re.compile(r"[^\W_]+")  # the keyword index splits words in the same way, so its term weights match


class LateInteractionConfig(TransformerConfig):
    """An entry of kind `late_interaction`; `source` and `package` name an embedding model."""

    max_tokens: int = Field(ge=8, le=131_072, description="Most tokens of a text, special tokens included.")
    cache_bytes: int = Field(
        default=256 * 2**20, ge=0, le=2**40, description="Most bytes of the cache of candidates' token vectors."
    )
    query_prefix: str = Field(default="", description="Text before each query: the embedding model's.")
    document_prefix: str = Field(default="", description="Text before each candidate: the embedding model's.")


@dataclass(frozen=True)
class RequestState:
    """A request between `tokenize` and `finish`.

    `spans` (n, 2): start and end of each of the query's own tokens in the query. `cached`: the token vectors of
    candidates that were in the cache. `missing`: the candidates that were not, without repetitions.
    """

    spans: NDArray[np.int64]
    cached: dict[str, TokenVectors]
    missing: tuple[str, ...]


class LateInteractionModel:
    """A RerankingModel. Its encodings are the query's and those of the candidates that are not in the cache."""

    config_class = LateInteractionConfig
    retrieval_weight = 0.4  # measured on four public sets, see docs/quality.md

    def __init__(self, name: str, config: LateInteractionConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name, self._config = name, config
        self._model = load_sentence_transformer(name, config, config.max_tokens)
        self.runs_on, self.passes_at_once = runs_on(config), calling_threads(config)
        self._tokenizer = encoder_tokenizer(name, self._model.tokenizer, config.max_tokens)
        self._cache = TokenVectorCache(config.cache_bytes)

    def tokenize(self, request: RerankRequest) -> RerankWork:
        if not request.texts:
            return RerankWork(request, ())
        texts = list(dict.fromkeys(request.texts))
        cached = self._cache.get_many(texts)
        missing = tuple(text for text in texts if text not in cached)
        prefix = self._config.query_prefix
        encodings = self._tokenizer.encode([request.query], prefix)
        encodings += self._tokenizer.encode(missing, self._config.document_prefix)
        spans = self._tokenizer.token_spans(request.query, prefix)
        return RerankWork(request, tuple(encodings), RequestState(spans, cached, missing))

    def forward(self, batch: Sequence[Encoding]) -> list[TokenVectors]:
        """The unit vectors of each encoding's tokens (len(encoding), dim), float16."""
        import torch

        with torch.inference_mode():
            features = padded_features(batch, self._tokenizer.pad_id, self._model.device)
            hidden = self._model[0](features)["token_embeddings"]
            vectors = torch.nn.functional.normalize(hidden.float(), dim=-1).half().cpu().numpy()
        return [rows[: len(encoding)] for rows, encoding in zip(vectors, batch, strict=True)]

    def keep(self, work: RerankWork, place: int, output: TokenVectors) -> None:
        if place > 0:  # the first encoding is the query's
            # Copy: a cached slice of a batch would keep the whole batch in memory.
            own = self._tokenizer.own(output, work.encodings[place].num_prefix_tokens)
            self._cache.put(work.state.missing[place - 1], own.copy())

    def finish(self, work: RerankWork, outputs: Sequence[TokenVectors | None]) -> FloatArray:
        request, state = work.request, work.state
        scores = np.full(len(request.texts), np.nan, np.float32)
        query, *fresh = [self._own(*pair) for pair in zip(outputs, work.encodings, strict=True)] or [None]
        if query is None:
            return scores
        computed = {text: rows for text, rows in zip(state.missing, fresh, strict=True) if rows is not None}
        documents = state.cached | computed
        read = [place for place, text in enumerate(request.texts) if text in documents]
        candidates = [documents[request.texts[place]] for place in read]
        weights = token_weights(request.query, state.spans, request.term_weights)
        score = _scores_as_stored if request.as_stored else _scores
        scores[read] = score(query, weights, candidates)
        return scores

    def _own(self, rows: TokenVectors | None, encoding: Encoding) -> TokenVectors | None:
        """The rows of the text's own tokens; None stays None."""
        return None if rows is None else self._tokenizer.own(rows, encoding.num_prefix_tokens)

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        """The mean cosine, with negative values as 0."""
        return np.clip(scores, 0, 1)


def token_weights(query: str, spans: NDArray[np.int64], term_weights: dict[str, float]) -> FloatArray:
    """Weights (n,), one per token: its word's weight, the highest for an unknown word, 0 for a token between words.

    All weights are 1 if there are no term weights or if every weight would be 0.
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


def _scores(query: TokenVectors, weights: FloatArray, candidates: list[TokenVectors]) -> FloatArray:
    tokens = np.concatenate([query[:0], *candidates])
    return max_sim(_widen(query), weights, _widen(tokens), [len(candidate) for candidate in candidates])


def _scores_as_stored(query: TokenVectors, weights: FloatArray, candidates: list[TokenVectors]) -> FloatArray:
    scores = max_sim_scores(query, weights, [encode_tokens(candidate) for candidate in candidates])
    return np.nan_to_num(scores, nan=LEAST_SIMILARITY)


def _widen(vectors: TokenVectors) -> FloatArray:
    # Torch converts 4,700 vectors in 0.1 ms. Numpy takes 2.3 ms, longer than all other steps of max_sim.
    import torch

    return torch.from_numpy(vectors).float().numpy()
