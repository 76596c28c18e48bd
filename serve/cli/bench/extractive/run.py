"""`ragserve bench extractive`: how often an extractive answer contains the gold answer.

Each question comes with its own passage alone, or with the four others that BM25 ranks highest; with the term weights
of the corpus, or without.
"""

import asyncio
import gzip
import json
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from models.catalog import Catalog
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.generation.words import words
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationDelta, GenerationRequest
from serve.cli.bench.extractive.tokens import TokenVectors

# The weights of models/generation/relevance.py were chosen on questions 501 to 1,000 in this order.
SEED, NUM_DISTRACTORS = 7, 4
HEAD = "set        passages  term weights  first  whole   ms"


@dataclass(frozen=True)
class Case:
    """A question, its gold answers, and passages with or without distractors."""

    question: str
    answers: tuple[str, ...]
    passages: tuple[Passage, ...]
    term_weights: dict[str, float]
    sentence_scores: tuple[FloatArray, ...] = ()


@dataclass(frozen=True)
class ExtractiveRow:
    """Percentage of questions whose first sentence, and whose whole answer, has a gold answer; milliseconds each."""

    set_name: str
    num_passages: int
    term_weights: str
    first: float
    whole: float
    answer_ms: float

    def line(self) -> str:
        shares = f"{self.first:6.1f} {self.whole:6.1f} {self.answer_ms:4.1f}"
        return f"{self.set_name:10} {self.num_passages:8}  {self.term_weights:12} {shares}"


class Bm25:
    """Okapi BM25 (k1 1.2, b 0.75) over a list of texts."""

    def __init__(self, texts: list[str]) -> None:
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths = [len(words(text)) for text in texts]
        for position, text in enumerate(texts):
            for word, count in Counter(words(text)).items():
                self._postings[word].append((position, count))

    def idf(self, word: str) -> float:
        num_texts = len(self._postings.get(word, ()))
        return math.log(1 + (len(self._lengths) - num_texts + 0.5) / (num_texts + 0.5))

    def best(self, question: str, limit: int) -> list[int]:
        mean = sum(self._lengths) / len(self._lengths)
        scores: dict[int, float] = defaultdict(float)
        for word in words(question):
            for position, count in self._postings.get(word, ()):
                norm = 0.25 + 0.75 * self._lengths[position] / mean
                scores[position] += self.idf(word) * count * 2.2 / (count + 1.2 * norm)
        return sorted(scores, key=scores.__getitem__, reverse=True)[:limit]


def run(
    folders: Sequence[Path], num_questions: int, has_encoder: bool, has_tokens: bool = False
) -> Iterator[ExtractiveRow]:
    """A row for each set, with and without distractors and term weights.

    With `has_tokens`, only with distractors and term weights, and without and with token vectors. Raises
    InvalidRequestError if the catalog's model has none.
    """
    if has_tokens:
        yield from _run_tokens(folders, num_questions)
        return
    encoder = Catalog.open().load("embedding", "minilm") if has_encoder else None
    model = ExtractiveModel("extractive", ExtractiveConfig(), encoder)
    for folder, has_distractors, has_weights in product(folders, (False, True), (True, False)):
        cases = read_cases(folder, num_questions, has_distractors, has_weights)
        shares = asyncio.run(measure(model, cases))
        num_passages, origin = 1 + NUM_DISTRACTORS * has_distractors, "corpus" if has_weights else "none"
        yield ExtractiveRow(folder.resolve().name, num_passages, origin, *shares)


def _run_tokens(folders: Sequence[Path], num_questions: int) -> Iterator[ExtractiveRow]:
    model, vectors = ExtractiveModel("extractive", ExtractiveConfig(), None), TokenVectors()
    for folder in folders:
        cases = read_cases(folder, num_questions, has_distractors=True, has_weights=True)
        for choosing, scored in (("words", cases), ("words, tokens", [_with_scores(case, vectors) for case in cases])):
            yield ExtractiveRow(
                folder.resolve().name, 1 + NUM_DISTRACTORS, choosing, *asyncio.run(measure(model, scored))
            )


def _with_scores(case: Case, vectors: TokenVectors) -> Case:
    return replace(case, sentence_scores=vectors.scores(case.question, case.passages))


def read_cases(folder: Path, num_questions: int, has_distractors: bool, has_weights: bool) -> list[Case]:
    """The first questions of the set in a folder that have an answer, in an order with a fixed seed.

    The gold answers of CLAPNQ are its gold sentences: its answers are written freely.
    """
    corpus = _rows(folder / "corpus.jsonl.gz")
    positions = {row["_id"]: position for position, row in enumerate(corpus)}
    relevant = dict(line.split("\t")[:2] for line in (folder / "qrels.tsv").read_text().splitlines()[1:])
    queries = [query for query in _rows(folder / "queries.jsonl.gz") if gold_answers(query)]
    random.Random(SEED).shuffle(queries)
    index = Bm25([f"{row['title']}\n{row['text']}" for row in corpus])
    cases = []
    for query in queries[:num_questions]:
        gold = positions[relevant[query["_id"]]]
        best = index.best(query["text"], NUM_DISTRACTORS + 1)
        if gold not in best:
            best = [*best[:NUM_DISTRACTORS], gold]
        passages = tuple(_passage(position, corpus[position]) for position in (best if has_distractors else [gold]))
        weights = {word: index.idf(word) for word in words(query["text"])} if has_weights else {}
        cases.append(Case(query["text"], gold_answers(query), passages, weights))
    return cases


def gold_answers(query: dict[str, Any]) -> tuple[str, ...]:
    """Empty if the set says that its corpus has no answer."""
    return tuple(query.get("gold_sentences", query.get("answers", ())))


async def measure(model: ExtractiveModel, cases: list[Case]) -> tuple[float, float, float]:
    """Percentage of cases whose first sentence, and whose whole answer, has a gold answer; milliseconds a case."""
    num_first = num_whole = 0
    started = time.perf_counter()
    for case in cases:
        messages = (ChatMessage("user", case.question),)
        request = GenerationRequest("0", messages, case.passages, term_weights=case.term_weights)
        request = replace(request, sentence_scores=case.sentence_scores)
        sentences = [_plain(quote) async for delta in model.stream(request) for quote in _quotes(delta)]
        num_first += any(_plain(gold) in sentences[0] for gold in case.answers)
        num_whole += any(_plain(gold) in sentence for gold in case.answers for sentence in sentences)
    elapsed_ms = 1000 * (time.perf_counter() - started)
    return 100 * num_first / len(cases), 100 * num_whole / len(cases), elapsed_ms / len(cases)


def _quotes(delta: GenerationDelta) -> list[str]:
    """Each quoted sentence with its marker."""
    ends = [mark.end for mark in delta.marks or ()]
    return [delta.text[start:end] for start, end in pairwise((0, *ends))] or [delta.text]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def _passage(key: int, row: dict[str, Any]) -> Passage:
    return Passage(key, row["_id"], row["_id"], row["title"], row["text"], 0, len(row["text"]), row["title"])


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
