"""A trace of questions over question sets, shaped like RAGPulse's, the open trace of a RAG service (arXiv 2511.12979).

There, 11.5 % of the questions repeat exactly, and 5 % of the documents take 43 % of the accesses. Here a question's
document is the one that its set calls relevant. A popular document gets more questions than its set has, so its later
ones are reworded.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from serve.cli.driver.corpus.real import SetQuestion

REPEATED = 0.115  # of the questions
TOP_DOCUMENTS, TOP_SHARE = 0.05, 0.43  # of the documents, and their part of the accesses
REPEAT_DISTANCE = 60  # questions between one and its repetition, in the mean
OPENINGS = ("Please tell me:", "I would like to know:", "Quick question:", "Can you look up:", "A customer asks:")
FIT_STEPS, MAX_SKEW = 24, 3.0


@dataclass(frozen=True)
class TraceShape:
    """The fraction of questions that repeat an earlier one, and the top documents' fraction of the accesses."""

    repeated: float
    top_share: float


def question_trace(questions: Sequence[SetQuestion], num_requests: int, seed: int = 0) -> list[SetQuestion]:
    """The questions in order. The same arguments give the same trace."""
    generator = np.random.default_rng(seed)
    by_document = _by_document(questions)
    names = [str(name) for name in generator.permutation(sorted(by_document))]
    origin = _origins(num_requests, generator)
    draws = generator.random(num_requests)
    places = _fitted_places(draws, origin, len(names))
    wordings = {name: _wordings(by_document[name]) for name in names}
    trace: list[SetQuestion] = []
    for request, earlier in enumerate(origin.tolist()):
        name = names[places[request]]
        trace.append(trace[earlier] if earlier < request else SetQuestion(next(wordings[name]), name))
    return trace


def shape_of(trace: Sequence[SetQuestion]) -> TraceShape:
    """The published figures of a trace; only documents that it asks about count."""
    repeated = 1 - len({question.text for question in trace}) / len(trace)
    _, accesses = np.unique([question.document for question in trace], return_counts=True)
    return TraceShape(repeated, _top_share(accesses))


def _by_document(questions: Sequence[SetQuestion]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = defaultdict(list)
    for question in questions:
        texts[question.document].append(question.text)
    return texts


def _wordings(texts: Sequence[str]) -> Iterator[str]:
    """The document's questions, then the same with other openings, never the same text twice."""
    yield from texts
    for number in count():
        extra = f" ({number // len(OPENINGS) + 1})" if number >= len(OPENINGS) else ""
        for text in texts:
            yield f"{OPENINGS[number % len(OPENINGS)]} {text}{extra}"


def _origins(num_requests: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """For each request the earlier one that it repeats; a new question has its own number."""
    origin = np.arange(num_requests)
    num_repeated = min(num_requests - 1, round(REPEATED * num_requests))
    for request in np.sort(1 + generator.permutation(num_requests - 1)[:num_repeated]):
        origin[request] = max(0, request - generator.geometric(1 / REPEAT_DISTANCE))
    return origin


def _fitted_places(draws: NDArray[np.float64], origin: NDArray[np.int64], num_documents: int) -> NDArray[np.int64]:
    """The document of each request: by Zipf's law, with the exponent that gives the top documents TOP_SHARE."""
    low, high = 0.0, MAX_SKEW
    for _ in range(FIT_STEPS):
        middle = (low + high) / 2
        _, accesses = np.unique(_places(draws, origin, num_documents, middle), return_counts=True)
        low, high = (middle, high) if _top_share(accesses) < TOP_SHARE else (low, middle)
    return _places(draws, origin, num_documents, high)


def _places(
    draws: NDArray[np.float64], origin: NDArray[np.int64], num_documents: int, skew: float
) -> NDArray[np.int64]:
    weights = np.arange(1, num_documents + 1) ** -skew
    places = np.searchsorted(np.cumsum(weights) / weights.sum(), draws)
    for request, earlier in enumerate(origin.tolist()):
        places[request] = places[earlier]
    return np.minimum(places, num_documents - 1)


def _top_share(accesses: NDArray[np.int64]) -> float:
    num_top = max(1, round(len(accesses) * TOP_DOCUMENTS))
    return float(np.sort(accesses)[::-1][:num_top].sum() / accesses.sum())
