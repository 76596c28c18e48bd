"""Measures the retrieval path on question sets in BEIR's layout: `python -m serve.cli.bench.retrieval.run FOLDER…`.

Prints nDCG@10, MRR@10 and recall@10 of each way to rank, with the models and the numbers that ship as defaults. The
models are called directly: what is measured is their quality, not the service. Takes minutes on two cores.
"""

import argparse
import gzip
import json
import random
import sys
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
from models.types import FloatArray, KeyArray, LexicalRanking, Ranking
from serve.pipelines.retrieve import RetrievalConfig

CONFIG = RetrievalConfig()
WEIGHTS = (CONFIG.dense_weight, CONFIG.lexical_weight)
DIVERSITIES = (0.0, 0.3)


@dataclass(frozen=True)
class QuestionSet:
    """`gold` gives each query the relevance of document keys, which are places in `texts`."""

    name: str
    texts: list[str]
    queries: list[str]
    gold: list[dict[int, int]]


@dataclass(frozen=True)
class Found:
    """What the two searches found for one query."""

    query: str
    dense: Ranking
    lexical: LexicalRanking

    def fused(self, method: FusionMethod) -> Ranking:
        merged = fuse([self.dense, self.lexical.ranking], Fusion(method, WEIGHTS))
        return Ranking(merged.keys[: CONFIG.candidates], merged.scores[: CONFIG.candidates])


def read(folder: Path, max_queries: int) -> QuestionSet:
    documents = _lines(folder / "corpus.jsonl.gz")
    keys = {document["_id"]: key for key, document in enumerate(documents)}
    relevant: dict[str, dict[int, int]] = defaultdict(dict)
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query_id, document_id, score = line.split("\t")
        relevant[query_id][keys[document_id]] = int(score)
    queries = [query for query in _lines(folder / "queries.jsonl.gz") if query["_id"] in relevant]
    if len(queries) > max_queries:
        queries = random.Random(0).sample(queries, max_queries)
    texts = [f"{document['title']}\n{document['text']}" for document in documents]
    gold = [relevant[query["_id"]] for query in queries]
    return QuestionSet(folder.name, texts, [query["text"] for query in queries], gold)


def rankings(questions: QuestionSet) -> dict[str, list[KeyArray]]:
    """The document keys of each query, best first, by each way to rank."""
    catalog = Catalog.open()
    embedder, reranker = catalog.load("embedding", "minilm"), catalog.load("reranking", "late-interaction")
    vectors = embed_documents(embedder, questions.texts)
    ranked: dict[str, list[KeyArray]] = defaultdict(list)
    for found in _search(questions, vectors, embed_queries(embedder, questions.queries)):
        orders = _unreranked(found, questions.texts, vectors) | _reranked(found, questions.texts, reranker)
        for name, keys in orders.items():
            ranked[name].append(keys)
    return ranked


def _search(questions: QuestionSet, vectors: FloatArray, queries: FloatArray) -> Iterator[Found]:
    keys = np.arange(len(questions.texts))
    dense, lexical = FaissIndex(vectors.shape[1], FaissConfig()), TantivyIndex()
    dense.add(keys, keys, vectors)
    lexical.add(keys, keys, questions.texts)
    for query, nearest in zip(questions.queries, dense.search(queries, CONFIG.candidates), strict=True):
        yield Found(query, nearest, lexical.search(query, CONFIG.candidates))


def _unreranked(found: Found, texts: list[str], vectors: FloatArray) -> dict[str, KeyArray]:
    fused = found.fused("min_max")
    routed = _routed(found, texts)
    kept = unique([texts[key] for key in fused.keys], CONFIG.duplicate_similarity)
    orders = {
        "BM25": found.lexical.ranking.keys,
        "dense": found.dense.keys,
        "RRF, k=60": found.fused("rrf").keys,
        "min-max fusion": fused.keys,
        "min-max fusion, routed": fused.keys if routed is None else routed,
        "min-max fusion, without duplicates": fused.keys[kept],
    }
    for diversity in DIVERSITIES:
        order = maximal_marginal_relevance(fused.scores, vectors[fused.keys], len(fused), diversity)
        orders[f"min-max fusion, MMR {diversity:g}"] = fused.keys[order]
    return orders


def _routed(found: Found, texts: list[str]) -> KeyArray | None:
    """The keyword search's hits if the router sends the query there alone and they hold its phrases."""
    chosen, keys = route(found.query), found.lexical.ranking.keys
    if chosen.mode != "lexical":
        return None
    hits = [key for key in keys.tolist() if contains_phrases(texts[key], chosen.phrases)]
    return np.array(hits, np.int64) if hits else None


def _reranked(found: Found, texts: list[str], reranker: RerankingModel) -> dict[str, KeyArray]:
    fused = found.fused("min_max").keys
    kept = unique([texts[key] for key in fused], CONFIG.duplicate_similarity)
    fed = {"min-max": fused, "RRF": found.fused("rrf").keys, "min-max without duplicates": fused[kept]}
    heads = [keys[: CONFIG.rerank_candidates] for keys in fed.values()]
    weights = found.lexical.term_weights
    by_score = score(
        reranker, [RerankRequest(found.query, tuple(texts[key] for key in head), weights) for head in heads]
    )
    orders = {}
    for (name, keys), head, scores in zip(fed.items(), heads, by_score, strict=True):
        for order, weight in (("reranked alone", 0.0), ("reranked, blended", reranker.retrieval_weight)):
            best = np.argsort(-blend(scores, weight), kind="stable")
            orders[f"{name}, {order}"] = np.concatenate([head[best], keys[len(head) :]])
    routed = _routed(found, texts)
    orders["min-max, reranked, blended, routed"] = orders["min-max, reranked, blended"] if routed is None else routed
    return orders


def ndcg(keys: KeyArray, gold: dict[int, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the best `k`, with linear gains as in trec_eval."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = np.array([gold.get(int(key), 0) for key in keys[:k]])
    ideal = np.array(sorted(gold.values(), reverse=True)[:k])
    return float((gains * discounts[: len(gains)]).sum() / (ideal * discounts[: len(ideal)]).sum())


def reciprocal_rank(keys: KeyArray, gold: dict[int, int], k: int = 10) -> float:
    """1 / the rank of the first relevant document, 0 if it is not among the best `k`."""
    return next((1 / rank for rank, key in enumerate(keys[:k].tolist(), start=1) if key in gold), 0.0)


def recall(keys: KeyArray, gold: dict[int, int], k: int = 10) -> float:
    """Share of the relevant documents among the best `k`."""
    return len({int(key) for key in keys[:k]} & gold.keys()) / len(gold)


def _lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="each with corpus.jsonl.gz, queries.jsonl.gz, qrels.tsv")
    parser.add_argument("--max-queries", type=int, default=1000, help="a larger set is sampled, with a fixed seed")
    options = parser.parse_args()
    for folder in options.folders:
        questions = read(folder, options.max_queries)
        num_routed = sum(route(query).mode == "lexical" for query in questions.queries)
        sys.stdout.write(f"\n{questions.name}: {len(questions.queries)} queries, {num_routed} routed to BM25\n\n")
        sys.stdout.write("| ranking | nDCG@10 | MRR@10 | recall@10 |\n|---|---|---|---|\n")
        for name, lists in rankings(questions).items():
            pairs = list(zip(lists, questions.gold, strict=True))
            means = [np.mean([measure(*pair) for pair in pairs]) for measure in (ndcg, reciprocal_rank, recall)]
            sys.stdout.write(f"| {name} | {' | '.join(f'{mean:.4f}' for mean in means)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
