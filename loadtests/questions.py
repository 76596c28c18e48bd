"""Draw questions with the skew of real traffic.

The skew is that of RAGPulse, a trace of 7,106 requests of a real service (arXiv 2511.12979): 11.5 % of the questions
repeat an earlier question exactly, and 5 % of the documents get 43 % of the accesses.
"""

import random
from bisect import bisect_left
from collections import deque
from itertools import accumulate
from pathlib import Path

from serve.cli.driver.question_set import QuestionSet, read_question_set
from serve.cli.driver.workload import read_questions

REPEAT_PROBABILITY = 0.115
HOT_DOCUMENTS, HOT_ACCESSES = 0.05, 0.43  # fractions
MAX_RECENT = 1_000
BUILT_IN = Path(__file__).with_name("questions.txt")


class Questions:
    """Draw a topic by Zipf's law, then one of its questions. The same seed gives the same draws."""

    def __init__(self, by_topic: list[list[str]], seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._topics = [list(questions) for questions in by_topic if questions]
        self._random.shuffle(self._topics)
        exponent = skew_exponent(len(self._topics))
        self._cumulative = list(accumulate(zipf_weights(len(self._topics), exponent)))
        self._recent: deque[str] = deque(maxlen=MAX_RECENT)

    @staticmethod
    def built_in(seed: int = 0) -> "Questions":
        """Questions about ragserve's own documentation, which `make up` ingests."""
        return Questions([[question] for question in read_questions(BUILT_IN)], seed)

    @staticmethod
    def from_folder(folder: Path, seed: int = 0) -> "Questions":
        """The questions of a folder in BEIR's layout. A topic is a document that is relevant to some of them."""
        return Questions(list(questions_by_document(read_question_set(folder)).values()), seed)

    def next(self) -> str:
        if self._recent and self._random.random() < REPEAT_PROBABILITY:
            return self._random.choice(self._recent)
        weight = self._random.random() * self._cumulative[-1]
        question = self._random.choice(self._topics[bisect_left(self._cumulative, weight)])
        self._recent.append(question)
        return question


def questions_by_document(questions: QuestionSet) -> dict[str, list[str]]:
    """Queries by the first of their relevant documents."""
    by_document: dict[str, list[str]] = {}
    for query_id, text in questions.queries.items():
        document = min(questions.qrels[query_id])
        by_document.setdefault(document, []).append(text)
    return by_document


def zipf_weights(count: int, exponent: float) -> list[float]:
    return [rank**-exponent for rank in range(1, count + 1)]


def skew_exponent(count: int) -> float:
    """The exponent that gives the first HOT_DOCUMENTS of `count` topics HOT_ACCESSES of the weight, by bisection."""
    hot = max(1, round(HOT_DOCUMENTS * count))
    low, high = 0.0, 4.0
    for _ in range(40):
        middle = (low + high) / 2
        weights = zipf_weights(count, middle)
        low, high = (middle, high) if sum(weights[:hot]) / sum(weights) < HOT_ACCESSES else (low, middle)
    return (low + high) / 2
