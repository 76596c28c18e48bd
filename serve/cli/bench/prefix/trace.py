"""A trace of questions shaped like RAGPulse's, the open trace of a RAG service in production (arXiv 2511.12979).

Its figures, which `statistics_of` computes of a trace made here: 7,106 requests, 4.7 passages each; 5 % of the
documents take 43 % of the accesses; 11.5 % of the questions repeat exactly; 82 % of the passages were seen within the
last 1,000 requests; 2,944 input tokens in the mean and 5,425 at the 99th percentile, 283 output tokens in the mean.

Each question belongs to a topic. Topics and, within each, documents are drawn by Zipf's law. How documents cluster is
not published: it is this generator's assumption. The numbers below were fitted to those figures, and to the 12 % of
passage tokens that a KV cache of 200,000 tokens finds in RAGPulse if passages stand in the order of retrieval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_REQUESTS = 7_106
SEED = 0
RECENT = 1_000  # requests
TOP_SHARE = 0.05  # of the documents, the most popular

NUM_TOPICS, DOCUMENTS_PER_TOPIC = 180, 16
TOPIC_SKEW, DOCUMENT_SKEW = 0.9, 0.7  # exponents of Zipf's law
STRAY_SHARE = 0.07  # of the passages, from any topic
REPEAT_SHARE = 0.113
REPEAT_DISTANCE = 60  # requests between a question and its repetition, in the mean
SCORE_NOISE = 0.6  # what a question adds to a document's score: less makes the questions of a topic more alike
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
    """What is published of RAGPulse."""

    passages_per_request: float
    top_documents_share: float
    repeated_questions: float
    seen_recently: float
    mean_input_tokens: float
    p99_input_tokens: float
    mean_output_tokens: float


def make_trace(num_requests: int = NUM_REQUESTS, seed: int = SEED) -> Trace:
    """The same seed gives the same trace, and fewer requests its beginning."""
    chance = np.random.default_rng(seed)
    num_documents = NUM_TOPICS * DOCUMENTS_PER_TOPIC
    names = chance.permutation(num_documents)  # a document's number says nothing of its popularity
    passage_tokens = _lognormal(chance, PASSAGE_TOKENS, PASSAGE_SPREAD, num_documents)
    topic_shares = _zipf(NUM_TOPICS, TOPIC_SKEW)
    requests: list[TraceRequest] = []
    for number in range(num_requests):
        if requests and chance.random() < REPEAT_SHARE:
            requests.append(requests[max(0, number - chance.geometric(1 / REPEAT_DISTANCE))])
            continue
        topic = int(chance.choice(NUM_TOPICS, p=topic_shares))
        documents = tuple(int(names[document]) for document in _retrieve(topic, chance))
        tokens = (
            int(_lognormal(chance, median, spread, 1)[0])
            for median, spread in ((QUESTION_TOKENS, QUESTION_SPREAD), (OUTPUT_TOKENS, OUTPUT_SPREAD))
        )
        requests.append(TraceRequest(number, documents, *tokens))
    return Trace(requests, passage_tokens)


def _retrieve(topic: int, chance: np.random.Generator) -> list[int]:
    """Documents of the topic, best first, some of which are strays from other topics."""
    spread = MAX_PASSAGES - MIN_PASSAGES
    size = MIN_PASSAGES + int(chance.binomial(spread, (MEAN_PASSAGES - MIN_PASSAGES) / spread))
    # The largest of log(share) + Gumbel noise are a draw without replacement, in the order of their scores.
    scores = np.log(_zipf(DOCUMENTS_PER_TOPIC, DOCUMENT_SKEW)) + SCORE_NOISE * chance.gumbel(size=DOCUMENTS_PER_TOPIC)
    found = [topic * DOCUMENTS_PER_TOPIC + int(place) for place in np.argsort(-scores)[:size]]
    strays = chance.integers(NUM_TOPICS * DOCUMENTS_PER_TOPIC, size=size).tolist()
    mixed = [stray if chance.random() < STRAY_SHARE else own for own, stray in zip(found, strays, strict=True)]
    return list(dict.fromkeys(mixed))


def _zipf(size: int, skew: float) -> NDArray[np.float64]:
    shares = np.arange(1, size + 1) ** -skew
    return shares / shares.sum()


def _lognormal(chance: np.random.Generator, median: float, spread: float, size: int) -> NDArray[np.int64]:
    return np.maximum(1, median * np.exp(spread * chance.standard_normal(size))).astype(np.int64)


def statistics_of(trace: Trace) -> TraceStatistics:
    """The figures of a trace, as they are published of RAGPulse; documents are those that were ever retrieved."""
    requests = trace.requests
    accesses = [document for request in requests for document in request.documents]
    counts = np.sort(np.unique(accesses, return_counts=True)[1])[::-1]
    num_top = max(1, round(len(counts) * TOP_SHARE))
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
    """Share of passages, after the first RECENT requests if there are more, that the last RECENT requests had, too."""
    last_seen: dict[int, int] = {}
    seen: list[bool] = []
    for number, request in enumerate(requests):
        seen += [number - last_seen.get(document, -RECENT - 1) <= RECENT for document in request.documents]
        last_seen.update(dict.fromkeys(request.documents, number))
    return sum(seen) / len(seen)
