"""How often an extractive answer has the gold answer: python -m serve.cli.bench.extractive.run [encoder]

500 questions of SQuAD and 500 of Natural Questions (from ../shared/data), each with its own passage alone, or with the
four others that BM25 ranks highest; with the corpus's term weights, or without. With the argument `encoder`, sentences
are also compared by all-MiniLM-L6-v2, which takes some minutes.
"""

import asyncio
import gzip
import json
import math
import random
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from models.embedding.base import EmbeddingModel
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.generation.words import words
from models.types import ChatMessage, GenerationRequest, Passage

SETS = ("squad_dev", "nq_qed")
DATA = Path(__file__).parents[5] / "shared" / "data"
# The weights of models/generation/relevance.py were chosen on the 500 questions that come next in this order.
SEED, NUM_QUESTIONS, NUM_DISTRACTORS = 7, 500, 4


@dataclass(frozen=True)
class Case:
    """A question, its gold answers, and passages with or without distractors."""

    question: str
    answers: tuple[str, ...]
    passages: tuple[Passage, ...]
    term_weights: dict[str, float]


class Bm25:
    """Okapi BM25 (k1 1.2, b 0.75) over a list of texts."""

    def __init__(self, texts: list[str]) -> None:
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths = [len(words(text)) for text in texts]
        for position, text in enumerate(texts):
            for word, count in Counter(words(text)).items():
                self._postings[word].append((position, count))

    def idf(self, word: str) -> float:
        having = len(self._postings.get(word, ()))
        return math.log(1 + (len(self._lengths) - having + 0.5) / (having + 0.5))

    def best(self, question: str, limit: int) -> list[int]:
        mean = sum(self._lengths) / len(self._lengths)
        scores: Counter[int] = Counter()
        for word in words(question):
            for position, count in self._postings.get(word, ()):
                norm = 0.25 + 0.75 * self._lengths[position] / mean
                scores[position] += self.idf(word) * count * 2.2 / (count + 1.2 * norm)  # type: ignore[assignment]
        return [position for position, _ in scores.most_common(limit)]


def read_cases(name: str, has_distractors: bool, has_weights: bool) -> list[Case]:
    corpus = _rows(DATA / name / "corpus.jsonl.gz")
    at = {row["_id"]: position for position, row in enumerate(corpus)}
    relevant = dict(line.split("\t")[:2] for line in (DATA / name / "qrels.tsv").read_text().splitlines()[1:])
    queries = _rows(DATA / name / "queries.jsonl.gz")
    random.Random(SEED).shuffle(queries)
    index = Bm25([f"{row['title']}\n{row['text']}" for row in corpus])
    cases = []
    for query in queries[:NUM_QUESTIONS]:
        gold = at[relevant[query["_id"]]]
        best = index.best(query["text"], NUM_DISTRACTORS + 1)
        if gold not in best:
            best = [*best[:NUM_DISTRACTORS], gold]
        passages = tuple(_passage(position, corpus[position]) for position in (best if has_distractors else [gold]))
        weights = {word: index.idf(word) for word in words(query["text"])} if has_weights else {}
        cases.append(Case(query["text"], tuple(query["answers"]), passages, weights))
    return cases


async def measure(model: ExtractiveModel, cases: list[Case]) -> tuple[float, float, float]:
    """Percentage of cases whose first sentence, and whose whole answer, has a gold answer; and milliseconds a case."""
    num_first = num_whole = 0
    started = time.perf_counter()
    for case in cases:
        messages = (ChatMessage("user", case.question),)
        request = GenerationRequest("0", messages, case.passages, term_weights=case.term_weights)
        said = [_plain(delta.text) async for delta in model.stream(request)]
        num_first += any(_plain(gold) in said[0] for gold in case.answers)
        num_whole += any(_plain(gold) in sentence for gold in case.answers for sentence in said)
    elapsed_ms = 1000 * (time.perf_counter() - started)
    return 100 * num_first / len(cases), 100 * num_whole / len(cases), elapsed_ms / len(cases)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def _passage(key: int, row: dict[str, Any]) -> Passage:
    return Passage(key, row["_id"], row["_id"], row["title"], row["text"], 0, len(row["text"]), row["title"])


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _encoder() -> EmbeddingModel:
    from models.catalog import Catalog

    return Catalog.open().load("embedding", "minilm")


def main() -> None:
    model = ExtractiveModel("extractive", ExtractiveConfig(), _encoder() if "encoder" in sys.argv[1:] else None)
    sys.stdout.write("set        passages  term weights  first  whole   ms\n")
    for name, has_distractors, has_weights in product(SETS, (False, True), (True, False)):
        first, whole, ms = asyncio.run(measure(model, read_cases(name, has_distractors, has_weights)))
        num, origin = 1 + NUM_DISTRACTORS * has_distractors, "corpus" if has_weights else "none"
        sys.stdout.write(f"{name:10} {num:8}  {origin:12} {first:6.1f} {whole:6.1f} {ms:4.1f}\n")


if __name__ == "__main__":
    main()
