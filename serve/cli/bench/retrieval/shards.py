"""`ragserve bench retrieval --shards`: the quality of keyword search in shards, against one index."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.catalog import Catalog
from models.embedding.offline import embed_documents, embed_queries
from models.index.bm25 import total
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.follow import merge_lexical
from models.index.tantivy_index import TantivyIndex
from models.index.tantivy_shard import TantivyShard
from models.reranking.base import RerankingModel, RerankRequest
from models.reranking.blend import blend
from models.reranking.offline import score
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import LexicalRanking, Ranking
from serve.cli.bench.retrieval.run import CONFIG, JudgedQueries, QueryHits, ndcg

HEAD = "| keyword shards | BM25 nDCG@10 | hybrid, reranked nDCG@10 | same BM25 top 10 |\n|---|---|---|---|"
TOP = 10


@dataclass(frozen=True)
class ShardRow:
    """Means over all queries. `same_top`: fraction of queries whose best ten are those of one index, in its order."""

    num_shards: int
    lexical_ndcg: float
    hybrid_ndcg: float
    same_top: float

    def line(self) -> str:
        return f"| {self.num_shards} | {self.lexical_ndcg:.4f} | {self.hybrid_ndcg:.4f} | {self.same_top:.3f} |"


def measure_shards(questions: JudgedQueries, shard_counts: Sequence[int]) -> Iterator[ShardRow]:
    """A row a number of shards."""
    dense, whole = _dense(questions), search_shards(questions, 1)
    ranker = _Ranker(questions.texts, Catalog.open().load("reranking", "late-interaction"))
    for num_shards in shard_counts:
        lexical = search_shards(questions, num_shards)
        pairs = zip(questions.queries, dense, lexical, strict=True)
        orders = ranker.orders([QueryHits(query, nearest, words) for query, nearest, words in pairs])
        is_same = [
            np.array_equal(words.ranking.keys[:TOP], expected.ranking.keys[:TOP])
            for words, expected in zip(lexical, whole, strict=True)
        ]
        keys = [words.ranking.keys for words in lexical]
        yield ShardRow(num_shards, _mean_ndcg(keys, questions), _mean_ndcg(orders, questions), float(np.mean(is_same)))


def search_shards(questions: JudgedQueries, num_shards: int) -> list[LexicalRanking]:
    """The hits of every query in this number of shards, as the client merges them. One shard is an ordinary index."""
    keys = np.arange(len(questions.texts))
    if num_shards == 1:
        index = TantivyIndex()
        index.add(keys, keys, questions.texts)
        return [index.search(query, CONFIG.candidates) for query in questions.queries]
    shards = [TantivyShard() for _ in range(num_shards)]
    for number, shard in enumerate(shards):
        own = keys[keys % num_shards == number]
        shard.add(own, own, [questions.texts[key] for key in own])
    return [_search(shards, query) for query in questions.queries]


def _search(shards: Sequence[TantivyShard], query: str) -> LexicalRanking:
    counts = total(shard.count(query) for shard in shards)
    k = CONFIG.candidates
    return merge_lexical([shard.search_with(counts, query, k) for shard in shards], k)


def _dense(questions: JudgedQueries) -> list[Ranking]:
    embedder = Catalog.open().load("embedding", "minilm")
    vectors, keys = embed_documents(embedder, questions.texts), np.arange(len(questions.texts))
    index = FaissIndex(vectors.shape[1], FaissConfig())
    index.add(keys, keys, vectors)
    return index.search(embed_queries(embedder, questions.queries), CONFIG.candidates)


@dataclass
class _Ranker:
    """Fuses and reranks. It scores the same candidates of a query once, whatever the number of shards."""

    texts: list[str]
    model: RerankingModel
    scores: dict[tuple[object, ...], FloatArray] = field(default_factory=dict)

    def orders(self, hits: Sequence[QueryHits]) -> list[KeyArray]:
        fused = [each.fused("min_max").keys for each in hits]
        heads = [keys[: CONFIG.rerank_candidates] for keys in fused]
        places = [_place(each, head) for each, head in zip(hits, heads, strict=True)]
        new = {
            place: RerankRequest(each.query, tuple(self.texts[key] for key in head), each.lexical.term_weights)
            for place, each, head in zip(places, hits, heads, strict=True)
            if place not in self.scores
        }
        self.scores |= zip(new, score(self.model, list(new.values())), strict=True)
        return [self._order(keys, head, place) for keys, head, place in zip(fused, heads, places, strict=True)]

    def _order(self, keys: KeyArray, head: KeyArray, place: tuple[object, ...]) -> KeyArray:
        best = np.argsort(-blend(self.scores[place], self.model.retrieval_weight), kind="stable")
        return np.concatenate([head[best], keys[len(head) :]])


def _place(hits: QueryHits, head: KeyArray) -> tuple[object, ...]:
    weights = tuple(round(weight, 6) for weight in hits.lexical.term_weights.values())
    return (hits.query, weights, *head.tolist())


def _mean_ndcg(keys_by_query: Sequence[KeyArray], questions: JudgedQueries) -> float:
    return float(np.mean([ndcg(keys, gold) for keys, gold in zip(keys_by_query, questions.gold, strict=True)]))
