"""A trace of questions shaped like RAGPulse's, the open trace of a RAG service in production (arXiv 2511.12979).

RAGPulse's figures, which `statistics_of` computes for a trace made here: 7,106 requests, 4.7 passages each; 5 % of the
documents take 43 % of the accesses; 11.5 % of the questions repeat exactly; 82 % of the passages were seen within the
last 1,000 requests; 2,944 input tokens in the mean and 5,425 at the 99th percentile, 283 output tokens in the mean.

Each question belongs to a topic. Topics and, within each, documents are drawn by Zipf's law. The clustering of
documents is not published: it is this generator's assumption. The numbers below were fitted to those figures, and to
the 12 % of passage tokens that hit a KV cache of 200,000 tokens in RAGPulse with passages in the order of retrieval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_REQUESTS = 7_106
SEED = 0
RECENT = 1_000  # requests
TOP_FRACTION = 0.05  # of the documents: the most popular

NUM_TOPICS, DOCUMENTS_PER_TOPIC = 180, 16
TOPIC_SKEW, DOCUMENT_SKEW = 0.9, 0.7  # exponents of Zipf's law
STRAY_FRACTION = 0.07  # of the passages, from any topic
REPEAT_FRACTION = 0.113
REPEAT_DISTANCE = 60  # requests between a question and its repetition, in the mean
SCORE_NOISE = 0.6  # of a document's score, by question: with less noise the questions of a topic are more alike
MIN_PASSAGES, MAX_PASSAGES, MEAN_PASSAGES = 1, 10, 4.7
PASSAGE_TOKENS, PASSAGE_SPREAD = 552, 0.35  # median, and standard deviation of the logarithm
QUESTION_TOKENS, QUESTION_SPREAD = 25, 0.6
OUTPUT_TOKENS, OUTPUT_SPREAD = 240, 0.58
INSTRUCTION_TOKENS = 150


@dataclass(frozen=True)
class TraceRequest:
    """A question, the documents retrieved for it, best first, and the tokens of the question and of its answer."""

    question: int
    documents: tuple[int, ...]
    question_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Trace:
    """Requests in order, and the tokens of each document's passage."""

    requests: list[TraceRequest]
    passage_tokens: NDArray[np.int64]

    def num_input_tokens(self, request: TraceRequest) -> int:
        passages = int(self.passage_tokens[list(request.documents)].sum())
        return INSTRUCTION_TOKENS + passages + request.question_tokens


@dataclass(frozen=True)
class TraceStatistics:
    """The published figures of RAGPulse."""

    passages_per_request: float
    top_documents_share: float
    repeated_questions: float
    seen_recently: float
    mean_input_tokens: float
    p99_input_tokens: float
    mean_output_tokens: float


def make_trace(num_requests: int = NUM_REQUESTS, seed: int = SEED) -> Trace:
    """The same seed gives the same trace; a shorter trace is a prefix of it."""
    generator = np.random.default_rng(seed)
    num_documents = NUM_TOPICS * DOCUMENTS_PER_TOPIC
    names = generator.permutation(num_documents)  # so that numbers are independent of popularity
    passage_tokens = _lognormal(generator, PASSAGE_TOKENS, PASSAGE_SPREAD, num_documents)
    topic_weights = _zipf(NUM_TOPICS, TOPIC_SKEW)
    requests: list[TraceRequest] = []
    for number in range(num_requests):
        if requests and generator.random() < REPEAT_FRACTION:
            requests.append(requests[max(0, number - generator.geometric(1 / REPEAT_DISTANCE))])
            continue
        topic = int(generator.choice(NUM_TOPICS, p=topic_weights))
        documents = tuple(int(names[document]) for document in _retrieve(topic, generator))
        tokens = (
            int(_lognormal(generator, median, spread, 1)[0])
            for median, spread in ((QUESTION_TOKENS, QUESTION_SPREAD), (OUTPUT_TOKENS, OUTPUT_SPREAD))
        )
        requests.append(TraceRequest(number, documents, *tokens))
    return Trace(requests, passage_tokens)


def _retrieve(topic: int, generator: np.random.Generator) -> list[int]:
    """Documents of the topic, best first, mixed with some documents of other topics."""
    spread = MAX_PASSAGES - MIN_PASSAGES
    size = MIN_PASSAGES + int(generator.binomial(spread, (MEAN_PASSAGES - MIN_PASSAGES) / spread))
    # The largest of log(weight) + Gumbel noise are a draw without replacement, in the order of their scores.
    scores = np.log(_zipf(DOCUMENTS_PER_TOPIC, DOCUMENT_SKEW)) + SCORE_NOISE * generator.gumbel(
        size=DOCUMENTS_PER_TOPIC
    )
    of_topic = [topic * DOCUMENTS_PER_TOPIC + int(place) for place in np.argsort(-scores)[:size]]
    strays = generator.integers(NUM_TOPICS * DOCUMENTS_PER_TOPIC, size=size).tolist()
    mixed = [
        stray if generator.random() < STRAY_FRACTION else document
        for document, stray in zip(of_topic, strays, strict=True)
    ]
    return list(dict.fromkeys(mixed))


def _zipf(size: int, skew: float) -> NDArray[np.float64]:
    weights = np.arange(1, size + 1) ** -skew
    return weights / weights.sum()


def _lognormal(generator: np.random.Generator, median: float, spread: float, size: int) -> NDArray[np.int64]:
    return np.maximum(1, median * np.exp(spread * generator.standard_normal(size))).astype(np.int64)


def statistics_of(trace: Trace) -> TraceStatistics:
    """The figures of a trace, as published for RAGPulse; only documents that were ever retrieved count."""
    requests = trace.requests
    accesses = [document for request in requests for document in request.documents]
    counts = np.sort(np.unique(accesses, return_counts=True)[1])[::-1]
    num_top = max(1, round(len(counts) * TOP_FRACTION))
    input_tokens = [trace.num_input_tokens(request) for request in requests]
    return TraceStatistics(
        len(accesses) / len(requests),
        float(counts[:num_top].sum() / len(accesses)),
        1 - len({request.question for request in requests}) / len(requests),
        _seen_recently(requests),
        float(np.mean(input_tokens)),
        float(np.percentile(input_tokens, 99)),
        float(np.mean([request.output_tokens for request in requests])),
    )


def _seen_recently(requests: Sequence[TraceRequest]) -> float:
    """Fraction of passages that one of the last RECENT requests had, too."""
    last_seen: dict[int, int] = {}
    is_recent: list[bool] = []
    for number, request in enumerate(requests):
        is_recent += [number - last_seen.get(document, -RECENT - 1) <= RECENT for document in request.documents]
        last_seen.update(dict.fromkeys(request.documents, number))
    return sum(is_recent) / len(is_recent)
