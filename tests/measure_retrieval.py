"""Measures the retrieval path on question sets in BEIR's layout: `python -m tests.measure_retrieval FOLDER…`.

Prints nDCG@10 and recall@5 of each way to rank, with the models and the numbers that ship as defaults. The models are
called directly: what is measured is their quality, not the service. Takes minutes on two cores.
"""

import gzip
import json
import random
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.catalog import Catalog
from models.index.faiss_index import FaissIndex
from models.index.fusion import min_max_fusion, reciprocal_rank_fusion
from models.index.tantivy_index import TantivyIndex
from models.reranking.base import RerankRequest
from models.reranking.blend import blend
from models.types import KeyArray
from serve.pipelines.query import QueryConfig

MAX_QUERIES = 1000
CONFIG = QueryConfig()


@dataclass(frozen=True)
class QuestionSet:
    """`gold` gives each query the relevance of document keys, which are places in `texts`."""

    name: str
    texts: list[str]
    queries: list[str]
    gold: list[dict[int, int]]


def read(folder: Path) -> QuestionSet:
    documents = _lines(folder / "corpus.jsonl.gz")
    keys = {document["_id"]: key for key, document in enumerate(documents)}
    relevant: dict[str, dict[int, int]] = defaultdict(dict)
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query_id, document_id, score = line.split("\t")
        relevant[query_id][keys[document_id]] = int(score)
    queries = [query for query in _lines(folder / "queries.jsonl.gz") if query["_id"] in relevant]
    if len(queries) > MAX_QUERIES:
        queries = random.Random(0).sample(queries, MAX_QUERIES)
    texts = [f"{document['title']}\n{document['text']}" for document in documents]
    gold = [relevant[query["_id"]] for query in queries]
    return QuestionSet(folder.name, texts, [query["text"] for query in queries], gold)


def rankings(questions: QuestionSet) -> dict[str, list[KeyArray]]:
    """The document keys of each query, best first, by each way to rank."""
    catalog, keys = Catalog.open(), np.arange(len(questions.texts))
    embedder, reranker = catalog.load("embedding", "minilm"), catalog.load("reranking", "late-interaction")
    dense_index, lexical_index = FaissIndex(embedder.dim), TantivyIndex()
    dense_index.add(keys, embedder.embed_documents(questions.texts))
    lexical_index.add(keys, questions.texts)
    dense = dense_index.search(embedder.embed_queries(questions.queries), CONFIG.candidates)
    lexical = [lexical_index.search(query, CONFIG.candidates) for query in questions.queries]
    pairs = [[one, other.ranking] for one, other in zip(dense, lexical, strict=True)]
    fused = [min_max_fusion(pair, [CONFIG.dense_weight, 1 - CONFIG.dense_weight]) for pair in pairs]
    found: dict[str, list[KeyArray]] = {
        "BM25": [one.ranking.keys for one in lexical],
        "dense": [ranking.keys for ranking in dense],
        "RRF, k=60": [reciprocal_rank_fusion(pair).keys for pair in pairs],
        "min-max fusion": [ranking.keys for ranking in fused],
        "reranked alone": [],
        "reranked, blended (default)": [],
    }
    for query, ranking, words in zip(questions.queries, fused, lexical, strict=True):
        head = ranking.keys[: CONFIG.rerank_candidates]
        request = RerankRequest(query, tuple(questions.texts[key] for key in head), words.term_weights)
        (scores,) = reranker.score([request])
        for name, weight in (("reranked alone", 0.0), ("reranked, blended (default)", reranker.retrieval_weight)):
            order = np.argsort(-blend(scores, weight), kind="stable")
            found[name].append(np.concatenate([head[order], ranking.keys[len(head) :]]))
    return found


def ndcg(keys: KeyArray, gold: dict[int, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain of the best `k`, with linear gains as in trec_eval."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains = np.array([gold.get(int(key), 0) for key in keys[:k]])
    ideal = np.array(sorted(gold.values(), reverse=True)[:k])
    return float((gains * discounts[: len(gains)]).sum() / (ideal * discounts[: len(ideal)]).sum())


def recall(keys: KeyArray, gold: dict[int, int], k: int = 5) -> float:
    """Share of the relevant documents among the best `k`."""
    return len({int(key) for key in keys[:k]} & gold.keys()) / len(gold)


def _lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def main(folders: list[str]) -> None:
    sys.stdout.write("| set | ranking | nDCG@10 | recall@5 |\n|---|---|---|---|\n")
    for folder in folders:
        questions = read(Path(folder))
        for name, lists in rankings(questions).items():
            scored = [(ndcg(keys, gold), recall(keys, gold)) for keys, gold in zip(lists, questions.gold, strict=True)]
            mean = np.mean(scored, axis=0)
            sys.stdout.write(f"| {questions.name} | {name} | {mean[0]:.3f} | {mean[1]:.3f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
