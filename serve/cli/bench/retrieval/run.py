"""`ragserve bench retrieval`: the quality of the retrieval path on question sets, by variant of fusion and reranking.

The models are called directly: this measures their quality, not the service.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.catalog import Catalog
from models.embedding.offline import embed_documents, embed_queries
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.fusion import Fusion, FusionMethod, fuse
from models.index.tantivy_index import TantivyIndex
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.blend import blend
from models.reranking.offline import score
from models.retrieval.diversity import maximal_marginal_relevance
from models.retrieval.duplicates import unique
from models.retrieval.router import contains_phrases, route
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import LexicalRanking, Ranking
from serve.cli.driver.question_set import QuestionSet, read_question_set
from serve.pipelines.retrieve import RetrievalConfig

CONFIG = RetrievalConfig()
WEIGHTS = (CONFIG.dense_weight, CONFIG.lexical_weight)
DIVERSITIES = (0.0, 0.3)
SEED = 0
HEAD = "| ranking | nDCG@10 | MRR@10 | recall@10 |\n|---|---|---|---|"


@dataclass(frozen=True)
class JudgedQueries:
    """`gold` maps document keys, which are places in `texts`, to their relevance, for each query."""

    name: str
    texts: list[str]
    queries: list[str]
    gold: list[dict[int, int]]


@dataclass(frozen=True)
class QueryHits:
    """The hits of the two searches for one query."""

    query: str
    dense: Ranking
    lexical: LexicalRanking

    def fused(self, method: FusionMethod) -> Ranking:
        merged = fuse([self.dense, self.lexical.ranking], Fusion(method, WEIGHTS))
        return Ranking(merged.keys[: CONFIG.candidates], merged.scores[: CONFIG.candidates])


@dataclass(frozen=True)
class QualityRow:
    """The means of one way to rank over all queries."""

    ranking: str
    ndcg: float
    reciprocal_rank: float
    recall: float

    def line(self) -> str:
        return f"| {self.ranking} | {self.ndcg:.4f} | {self.reciprocal_rank:.4f} | {self.recall:.4f} |"


def read(folder: Path, max_queries: int, max_documents: int | None = None) -> JudgedQueries:
    """The set in a folder, with a sample of its queries. `max_documents`: the relevant ones first; None is all.

    Raises InvalidRequestError.
    """
    questions = read_question_set(folder).sample(max_queries, SEED)
    documents = questions.documents
    if max_documents is not None:
        relevant = {document_id for relevances in questions.qrels.values() for document_id in relevances}
        documents = tuple(sorted(documents, key=lambda document: document.document_id not in relevant))[:max_documents]
    keys = {document.document_id: key for key, document in enumerate(documents)}
    return JudgedQueries(
        questions.name,
        [document.content for document in documents],
        list(questions.queries.values()),
        _gold(questions, keys),
    )


def _gold(questions: QuestionSet, keys: dict[str, int]) -> list[dict[int, int]]:
    return [
        {keys[document_id]: relevance for document_id, relevance in relevances.items() if document_id in keys}
        for relevances in (questions.qrels[query_id] for query_id in questions.queries)
    ]


def num_routed(questions: JudgedQueries) -> int:
    """Queries that the router sends to the keyword search alone."""
    return sum(route(query).mode == "lexical" for query in questions.queries)


def measure(questions: JudgedQueries) -> Iterator[QualityRow]:
    """A row a way to rank."""
    for name, keys_by_query in rankings(questions).items():
        pairs = list(zip(keys_by_query, questions.gold, strict=True))
        means = [float(np.mean([metric(*pair) for pair in pairs])) for metric in (ndcg, reciprocal_rank, recall)]
        yield QualityRow(name, *means)


def rankings(questions: JudgedQueries) -> dict[str, list[KeyArray]]:
    """The document keys of each query, best first, by each way to rank."""
    catalog = Catalog.open()
    embedder, reranker = catalog.load("embedding", "minilm"), catalog.load("reranking", "late-interaction")
    vectors = embed_documents(embedder, questions.texts)
    ranked: dict[str, list[KeyArray]] = defaultdict(list)
    for hits in search(questions, vectors, embed_queries(embedder, questions.queries)):
        orders = _unreranked(hits, questions.texts, vectors) | _reranked(hits, questions.texts, reranker)
        for name, keys in orders.items():
            ranked[name].append(keys)
    return ranked


def search(questions: JudgedQueries, vectors: FloatArray, queries: FloatArray) -> Iterator[QueryHits]:
    """The hits of each query, whose vectors are the rows of `queries`; `vectors` are those of the texts."""
    keys = np.arange(len(questions.texts))
    dense, lexical = FaissIndex(vectors.shape[1], FaissConfig()), TantivyIndex()
    dense.add(keys, keys, vectors)
    lexical.add(keys, keys, questions.texts)
    for query, nearest in zip(questions.queries, dense.search(queries, CONFIG.candidates), strict=True):
        yield QueryHits(query, nearest, lexical.search(query, CONFIG.candidates))


def _unreranked(hits: QueryHits, texts: list[str], vectors: FloatArray) -> dict[str, KeyArray]:
    fused = hits.fused("min_max")
    routed = _routed(hits, texts)
    distinct = unique([texts[key] for key in fused.keys], CONFIG.duplicate_similarity, hits.query)
    orders = {
        "BM25": hits.lexical.ranking.keys,
        "dense": hits.dense.keys,
        "RRF, k=60": hits.fused("rrf").keys,
        "min-max fusion": fused.keys,
        "min-max fusion, routed": fused.keys if routed is None else routed,
        "min-max fusion, without duplicates": fused.keys[distinct],
    }
    for diversity in DIVERSITIES:
        order = maximal_marginal_relevance(fused.scores, vectors[fused.keys], len(fused), diversity)
        orders[f"min-max fusion, MMR {diversity:g}"] = fused.keys[order]
    return orders


def _routed(hits: QueryHits, texts: list[str]) -> KeyArray | None:
    """The hits of the keyword search that contain the query's phrases, if the router sends the query there alone."""
    chosen, keys = route(hits.query), hits.lexical.ranking.keys
    if chosen.mode != "lexical":
        return None
    matching = [key for key in keys.tolist() if contains_phrases(texts[key], chosen.phrases)]
    return np.array(matching, np.int64) if matching else None


def _reranked(hits: QueryHits, texts: list[str], reranker: RerankingModel) -> dict[str, KeyArray]:
    fused = hits.fused("min_max").keys
    distinct = unique([texts[key] for key in fused], CONFIG.duplicate_similarity, hits.query)
    candidates = {
        "min-max": fused,
        "RRF": hits.fused("rrf").keys,
        "min-max without duplicates": fused[distinct],
    }
    heads = [keys[: CONFIG.rerank_candidates] for keys in candidates.values()]
    weights = hits.lexical.term_weights
    requests = [RerankRequest(hits.query, tuple(texts[key] for key in head), weights) for head in heads]
    orders = {}
    for (name, keys), head, scores in zip(candidates.items(), heads, score(reranker, requests), strict=True):
        for order, weight in (("reranked alone", 0.0), ("reranked, blended", reranker.retrieval_weight)):
            best = np.argsort(-blend(scores, weight), kind="stable")
            orders[f"{name}, {order}"] = np.concatenate([head[best], keys[len(head) :]])
    routed = _routed(hits, texts)
    orders["min-max, reranked, blended, routed"] = orders["min-max, reranked, blended"] if routed is None else routed
    return orders


def ndcg(keys: KeyArray, gold: dict[int, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the best `k`, with linear gains as in trec_eval."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = np.array([gold.get(int(key), 0) for key in keys[:k]])
    ideal = np.array(sorted(gold.values(), reverse=True)[:k])
    return float((gains * discounts[: len(gains)]).sum() / (ideal * discounts[: len(ideal)]).sum())


def reciprocal_rank(keys: KeyArray, gold: dict[int, int], k: int = 10) -> float:
    """1 / the rank of the first relevant document; 0 if none is among the best `k`."""
    return next((1 / rank for rank, key in enumerate(keys[:k].tolist(), start=1) if key in gold), 0.0)


def recall(keys: KeyArray, gold: dict[int, int], k: int = 10) -> float:
    """Fraction of the relevant documents among the best `k`."""
    return len({int(key) for key in keys[:k]} & gold.keys()) / len(gold)
