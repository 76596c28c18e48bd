"""The limit: what the libraries alone cost for a question, in one process, one thread, without a service.

One forward pass embeds the question, FAISS compares it with every vector, Tantivy ranks by its words, MaxSim scores the
candidates by their stored token vectors, and SQLite reads the passages. `python -m serve.cli.bench.serve.limit` reads a
LimitRequest as JSON from its standard input and writes LibraryCosts to its standard output.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from models.catalog import Catalog
from models.embedding.base import EmbeddingModel, TokenEmbedding, has_token_vectors
from models.index.token_codec import max_sim_scores
from models.types.arrays import FloatArray, HalfArray
from serve.cli.bench.serve.raw_words import RawWords
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.module_process import run_module

MODULE = "serve.cli.bench.serve.limit"
TIMEOUT_S = 900.0
WARM_UP = 3  # questions before those that count
ONE_THREAD = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
PASSAGES = "SELECT chunk_key, chunk_id, file_id, text, start_char, end_char, context FROM chunks WHERE chunk_key IN "
CODES = "SELECT chunk_key, codes FROM token_vectors WHERE generation = ? AND chunk_key IN "

Keys = list[int]


@dataclass(frozen=True)
class LimitRequest:
    """The prepared corpus, the model, the questions, and the sizes of a question's searches."""

    corpus: str
    catalog: str | None
    model: str
    questions: tuple[str, ...]
    candidates: int
    rerank_candidates: int


@dataclass(frozen=True)
class LibraryCosts:
    """CPU milliseconds of a question in each library. `max_sim_ms` is 0 for a corpus without token vectors."""

    embed_ms: float
    dense_ms: float
    lexical_ms: float
    max_sim_ms: float
    read_ms: float

    @property
    def sum_ms(self) -> float:
        return sum(getattr(self, entry.name) for entry in fields(self))


def measure_limit(request: LimitRequest) -> LibraryCosts:
    """Measures in a process of its own. Raises RuntimeError if that process fails."""
    return LibraryCosts(**run_module(MODULE, asdict(request), TIMEOUT_S, ONE_THREAD))


@dataclass(frozen=True)
class EmbeddedQuestion:
    """The unit vector (dim,) of a question and of its tokens (n, token dim), which may be none."""

    vector: FloatArray
    tokens: HalfArray


def library_costs(request: LimitRequest) -> LibraryCosts:
    """Each library answers all questions, one after the other."""
    corpus = PreparedCorpus.open(Path(request.corpus))
    catalog = Catalog.open(Path(request.catalog) if request.catalog else None)
    model: EmbeddingModel = catalog.load("embedding", request.model)
    embed_ms, questions = _cost(lambda text: _embed(model, text), request.questions)
    search_vectors, search_words = _raw_faiss(corpus, request.candidates), _raw_words(corpus, request.candidates)
    dense_ms, dense = _cost(search_vectors, [question.vector for question in questions])
    lexical_ms, lexical = _cost(search_words, request.questions)
    keys = [_alternate(*hits) for hits in zip(dense, lexical, strict=True)]
    # Immutable: SQLite then writes nothing, not even its shared-memory file.
    path = corpus.storage().url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        read_ms, _ = _cost(lambda chosen: _rows(connection, PASSAGES, chosen[: request.candidates]), keys)
        heads = [chosen[: request.rerank_candidates] for chosen in keys]
        blobs = [[row[1] for row in _rows(connection, CODES, head, corpus.generation)] for head in heads]
    has_blobs = any(blobs)
    max_sim_ms = _cost(_max_sim, list(zip(questions, blobs, strict=True)))[0] if has_blobs else 0.0
    return LibraryCosts(embed_ms, dense_ms, lexical_ms, max_sim_ms, read_ms)


def _cost(work: Callable[[Any], Any], items: Iterable[Any]) -> tuple[float, list[Any]]:
    """The mean CPU milliseconds of an item, and the results."""
    inputs = list(items)
    for item in inputs[:WARM_UP]:
        work(item)
    start = time.process_time()
    results = [work(item) for item in inputs]
    return 1000 * (time.process_time() - start) / max(1, len(inputs)), results


def _embed(model: EmbeddingModel, text: str) -> EmbeddedQuestion:
    encodings = model.tokenize_queries([text])
    if has_token_vectors(model):
        read: TokenEmbedding = model.forward_tokens(encodings)[0]
        return EmbeddedQuestion(read.vector, read.tokens)
    return EmbeddedQuestion(model.forward(encodings)[0], np.empty((0, 0), np.float16))


def _raw_faiss(corpus: PreparedCorpus, k: int) -> Callable[[FloatArray], Keys]:
    import faiss

    vectors = np.load(corpus.vectors_file)
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)

    def search(vector: FloatArray) -> Keys:
        places = index.search(vector[None], k)[1][0]
        return [place + 1 for place in places.tolist() if place >= 0]

    return search


def _raw_words(corpus: PreparedCorpus, k: int) -> Callable[[str], Keys]:
    with corpus.chunks_file.open(encoding="utf-8") as lines:
        words = RawWords(json.loads(line)["text"] for line in lines)
    return lambda question: words.search(question, k)


def _alternate(dense: Keys, lexical: Keys) -> Keys:
    """The hits of both searches in turn, each once, as fusion mixes them."""
    longest = max(len(dense), len(lexical))
    mixed = [key for place in range(longest) for hits in (dense, lexical) for key in hits[place : place + 1]]
    return list(dict.fromkeys(mixed))


def _rows(connection: sqlite3.Connection, query: str, keys: Sequence[int], *before: str) -> list[tuple[Any, ...]]:
    marks = ", ".join("?" * len(keys))
    return connection.execute(f"{query}({marks})", (*before, *keys)).fetchall()


def _max_sim(pair: tuple[EmbeddedQuestion, list[bytes]]) -> FloatArray:
    question, blobs = pair
    return max_sim_scores(question.tokens, np.ones(len(question.tokens), np.float32), blobs)


def main() -> None:
    raw = json.load(sys.stdin)
    request = LimitRequest(**(raw | {"questions": tuple(raw["questions"])}))
    sys.stdout.write(json.dumps(asdict(library_costs(request))))


if __name__ == "__main__":
    main()
