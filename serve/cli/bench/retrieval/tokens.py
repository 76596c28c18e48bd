"""`ragserve bench retrieval --tokens`: what reranking loses if stored token vectors take fewer bytes.

Each question's candidates are reranked by late interaction and blended, as in the service. Only the codec changes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from models.catalog import Catalog
from models.embedding.base import TokenEmbedding, has_token_vectors
from models.embedding.offline import forward_all
from models.errors.requests import InvalidRequestError
from models.index.max_sim import LEAST_SIMILARITY
from models.index.token_codec import DEFAULT, TokenCodecConfig, encode_tokens, max_sim_scores
from models.reranking.blend import blend
from models.reranking.late_interaction import LateInteractionModel, token_weights
from models.types.arrays import FloatArray, HalfArray, KeyArray
from serve.cli.bench.retrieval.run import CONFIG, JudgedQueries, ndcg, search

BITS: tuple[Literal[16, 4, 2, 1], ...] = (16, 4, 2, 1)
POOLINGS = (1, 2, 3)


@dataclass(frozen=True)
class TokenQuery:
    """A question's token vectors and weights. The first candidates in `keys` are reranked, the others follow them."""

    tokens: HalfArray
    weights: FloatArray
    keys: KeyArray
    gold: dict[int, int]

    @property
    def candidates(self) -> KeyArray:
        return self.keys[: CONFIG.rerank_candidates]


@dataclass(frozen=True)
class TokenSet:
    """A question set with the token vectors of its documents, by key, and of its questions."""

    name: str
    documents: list[HalfArray]
    queries: list[TokenQuery]


@dataclass(frozen=True)
class TokenVariant:
    """A way to store a document's token vectors."""

    name: str
    encode: Callable[[HalfArray], bytes]


@dataclass(frozen=True)
class TokenRow:
    """nDCG@10, mean bytes a document, and milliseconds to score a question's candidates, of one variant on one set."""

    ndcg: float
    chunk_bytes: float
    score_ms: float


def variants() -> list[TokenVariant]:
    """The first keeps the vectors as they are. Clustering pools similar tokens, as Clavié et al. 2024 do."""
    configs = [TokenCodecConfig(bits, pooling) for pooling, bits in product(POOLINGS, BITS)]
    neighbours = [TokenVariant(_title(config), _encoder(config)) for config in configs]
    unpooled = [TokenCodecConfig(bits, 1) for bits in BITS]
    return neighbours + [
        TokenVariant(f"{_bits(config)}, similar tokens pooled by 2", _clustering_encoder(config)) for config in unpooled
    ]


def read_tokens(questions: JudgedQueries) -> TokenSet:
    """Embed the set and search it. Takes about a minute a thousand documents. Raises InvalidRequestError."""
    embedder = Catalog.open().load("embedding", "minilm")
    if not has_token_vectors(embedder):
        raise InvalidRequestError("the catalog's minilm gives no token vectors; use kind sentence_transformers")
    documents: list[TokenEmbedding] = forward_all(embedder.forward_tokens, embedder.tokenize_documents(questions.texts))
    queries: list[TokenEmbedding] = forward_all(embedder.forward_tokens, embedder.tokenize_queries(questions.queries))
    hits = search(questions, _vectors(documents), _vectors(queries))
    judged = [
        TokenQuery(
            query.tokens,
            token_weights(hit.query, embedder.query_token_spans(hit.query), hit.lexical.term_weights),
            hit.fused("min_max").keys,
            gold,
        )
        for query, hit, gold in zip(queries, hits, questions.gold, strict=True)
    ]
    return TokenSet(questions.name, [document.tokens for document in documents], judged)


def measure_tokens(tokens: TokenSet, variant: TokenVariant) -> TokenRow:
    blobs = [variant.encode(document) for document in tokens.documents]
    started = time.perf_counter()
    scores = [_scores(query, [blobs[key] for key in query.candidates]) for query in tokens.queries]
    elapsed_ms = 1000 * (time.perf_counter() - started)
    quality = [ndcg(_reranked(*pair), pair[0].gold) for pair in zip(tokens.queries, scores, strict=True)]
    mean_bytes = float(np.mean([len(blob) for blob in blobs]))
    return TokenRow(float(np.mean(quality)), mean_bytes, elapsed_ms / len(tokens.queries))


def table(sets: Sequence[TokenSet]) -> Iterator[str]:
    """A line a variant: bytes a document and milliseconds, the means of the sets; nDCG@10 and its loss on each set."""
    yield "| stored vectors | bytes a chunk | ms a question |" + "".join(f" {tokens.name} |" for tokens in sets)
    yield "|---|---|---|" + "---|" * len(sets)
    exact: list[TokenRow] = []
    for variant in variants():
        rows = [measure_tokens(tokens, variant) for tokens in sets]
        exact = exact or rows
        yield _line(variant.name, rows, exact)


def _line(name: str, rows: Sequence[TokenRow], exact: Sequence[TokenRow]) -> str:
    chunk_bytes, score_ms = np.mean([(row.chunk_bytes, row.score_ms) for row in rows], axis=0)
    cells = [f"{row.ndcg:.4f} ({row.ndcg - base.ndcg:+.4f})" for row, base in zip(rows, exact, strict=True)]
    return f"| {name} | {chunk_bytes:,.0f} | {score_ms:.1f} | " + " | ".join(cells) + " |"


def _scores(query: TokenQuery, blobs: list[bytes]) -> FloatArray:
    return np.nan_to_num(max_sim_scores(query.tokens, query.weights, blobs), nan=LEAST_SIMILARITY)


def _reranked(query: TokenQuery, scores: FloatArray) -> KeyArray:
    best = np.argsort(-blend(scores, LateInteractionModel.retrieval_weight), kind="stable")
    return np.concatenate([query.candidates[best], query.keys[len(best) :]])


def _vectors(embeddings: Sequence[TokenEmbedding]) -> FloatArray:
    return np.stack([embedding.vector for embedding in embeddings])


def _encoder(config: TokenCodecConfig) -> Callable[[HalfArray], bytes]:
    return lambda tokens: encode_tokens(tokens, config=config)


def _clustering_encoder(config: TokenCodecConfig) -> Callable[[HalfArray], bytes]:
    return lambda tokens: encode_tokens(pool_similar(tokens, 2), config=config)


def pool_similar(tokens: HalfArray, pooling: int) -> HalfArray:
    """Unit means of clusters of similar tokens, one cluster for `pooling` tokens, by Ward's method."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(tokens) < 2 * pooling:
        return tokens
    wide = tokens.astype(np.float32)
    labels = fcluster(linkage(wide, "ward"), len(tokens) // pooling, "maxclust") - 1
    sums = np.zeros((labels.max() + 1, tokens.shape[1]), np.float32)
    np.add.at(sums, labels, wide)
    return (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float16)


def _title(config: TokenCodecConfig) -> str:
    pooled = f", neighbours pooled by {config.pooling}" if config.pooling > 1 else ""
    return f"{_bits(config)}{pooled}" + (" (default)" if config == DEFAULT else "")


def _bits(config: TokenCodecConfig) -> str:
    if config.bits == 16:
        return "float16"
    return f"{config.bits} bit{'s' if config.bits > 1 else ''}"
