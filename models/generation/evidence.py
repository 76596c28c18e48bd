"""Evidence: how likely the retrieved passages answer a question, from 0 to 1.

A logistic model of a few features of the passages, measured by `ragserve bench evidence` (numbers: docs/quality.md).
With a measured embedding model it reads word coverage, the cosine of the nearest chunk, the relevance of the best one,
and the nearest sentence. Otherwise it reads the words alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.generation.reading import stems_and_size
from models.generation.relevance import answer_units, coverage, stem_weights
from models.types import FloatArray, Passage

# Their cosines and token vectors are those that the weights were fitted to.
MEASURED_EMBEDDINGS = ("minilm", "minilm-int8")
MIN_EVIDENCE = 0.3
ALL_WORDS = 0.999  # sums of weights are not exact


@dataclass(frozen=True)
class Signals:
    """How near the best candidate is: its `relevance` by the reranker, 0 to 1, and its `cosine`. None: unknown."""

    relevance: float | None = None
    cosine: float | None = None


@dataclass(frozen=True)
class Features:
    """What the evidence is estimated from, each 0 to 1.

    `passage_words` and `sentence_words`: the fraction of the question's words, by weight, in the best passage and the
    best sentence with its heading. `cosine` of the nearest chunk, `relevance` of the best one, and MaxSim of the
    nearest `sentence`; None if they are unknown.
    """

    passage_words: float
    sentence_words: float
    cosine: float | None = None
    relevance: float | None = None
    sentence: float | None = None

    @property
    def words(self) -> "Features":
        """The features that need no model."""
        return Features(self.passage_words, self.sentence_words)

    def vector(self) -> list[float]:
        """All features in order, or those of words alone if others are unknown."""
        by_words = [self.passage_words, self.sentence_words]
        if self.cosine is None or self.relevance is None or self.sentence is None:
            return by_words
        return [*by_words, self.cosine, self.relevance, self.sentence]


@dataclass(frozen=True)
class LogisticWeights:
    """1 / (1 + exp(-(intercept + weights * features)))."""

    intercept: float
    weights: tuple[float, ...]

    def probability(self, vector: Sequence[float]) -> float:
        logit = self.intercept + sum(weight * value for weight, value in zip(self.weights, vector, strict=True))
        return 1 / (1 + math.exp(-logit))


# Fitted by `ragserve bench evidence --fit`, in the order of Features. The words alone tell less, and their intercept is
# 0.6 higher than fitted, so that the gate leans to answering.
WEIGHTS = LogisticWeights(-10.41, (1.61, 0.93, 5.74, 5.42, 4.91))
WEIGHTS_OF_WORDS = LogisticWeights(-4.35, (5.27, 4.35))


def probability(features: Features) -> float:
    """The evidence, 0 to 1; at least MIN_EVIDENCE if one sentence has every word of the question."""
    vector = features.vector()
    weights = WEIGHTS if len(vector) == len(WEIGHTS.weights) else WEIGHTS_OF_WORDS
    # No off-topic question of the 768 measured has such a sentence and less evidence.
    least = MIN_EVIDENCE if features.sentence_words >= ALL_WORDS else 0.0
    return max(weights.probability(vector), least)


def estimate_evidence(
    question: str,
    passages: tuple[Passage, ...],
    term_weights: dict[str, float],
    sentence_scores: Sequence[FloatArray],
    signals: Signals,
) -> float:
    """How likely the passages answer the question, 0 to 1; 0 without passages."""
    if not passages:
        return 0.0
    return probability(read_features(question, passages, term_weights, sentence_scores, signals))


def read_features(
    question: str,
    passages: tuple[Passage, ...],
    term_weights: dict[str, float],
    sentence_scores: Sequence[FloatArray],
    signals: Signals,
) -> Features:
    """The features of one or more passages, best first."""
    units = answer_units(passages)
    weights = stem_weights(question, term_weights, units)
    passage_words = max(coverage(weights, stems_and_size(passage.indexed_text)[0]) for passage in passages)
    sentence_words = max((coverage(weights, unit.stems | unit.heading) for unit in units), default=0.0)
    if len(weights) == 1:  # a keyword: the models were measured on questions
        return Features(passage_words, sentence_words)
    finite = [scores[np.isfinite(scores)] for scores in sentence_scores]
    nearest = max((float(scores.max()) for scores in finite if len(scores)), default=None)
    return Features(passage_words, sentence_words, signals.cosine, signals.relevance, nearest)
