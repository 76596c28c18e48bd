"""The weights of `evidence`, of each embedding model that it was measured with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Space = Literal["minilm", "e5"]
MINILM: Space = "minilm"
E5: Space = "e5"

# Whose vectors an embedding model gives, by its alias. With any other, only the words tell.
SPACES: dict[str, Space] = {"minilm": MINILM, "minilm-int8": MINILM, "multilingual-e5-small-q4": E5}
# E5's cosines lie between 0.7 and 1, says its model card. They are read on a scale from 0 to 1.
LEAST_COSINE: dict[Space, float] = {MINILM: 0.0, E5: 0.7}


@dataclass(frozen=True)
class LogisticWeights:
    """1 / (1 + exp(-(intercept + weights * features)))."""

    intercept: float
    weights: tuple[float, ...]

    def probability(self, vector: Sequence[float]) -> float:
        logit = self.intercept + sum(weight * value for weight, value in zip(self.weights, vector, strict=True))
        return 1 / (1 + math.exp(-logit))


Fits = dict[tuple[str, ...], LogisticWeights]

# The words alone tell less: their intercept is 1 higher, so that the gate leans to answering.
_WORDS_ALONE = LogisticWeights(-1.16, (5.87, 4.16, -2.85))

# Fitted as by `ragserve bench evidence --fit`, in the order of Features.vector, to whole sets and to a few documents of
# each. MiniLM's first one: six sets, four from Wikipedia and two of science; sentence_words was fitted at -0.02.
WEIGHTS: dict[Space, Fits] = {
    MINILM: {
        ("cosine", "relevance", "sentence"): LogisticWeights(-5.30, (1.36, 0.05, -4.37, 6.97, 4.68, 5.07)),
        ("cosine", "relevance"): LogisticWeights(-4.93, (1.85, 1.34, -4.11, 6.16, 6.83)),
        ("cosine", "sentence"): LogisticWeights(-5.07, (2.49, 1.26, -3.58, 5.80, 6.72)),
        ("relevance", "sentence"): LogisticWeights(-6.28, (1.69, 0.63, -3.59, 7.19, 7.78)),
        ("cosine",): LogisticWeights(-3.54, (3.12, 2.19, -3.65, 8.63)),
        ("relevance",): LogisticWeights(-5.00, (2.15, 1.54, -3.72, 11.22)),
        ("sentence",): LogisticWeights(-5.38, (2.93, 1.12, -2.90, 11.29)),
        (): _WORDS_ALONE,
    },
    E5: {
        ("cosine", "relevance", "sentence"): LogisticWeights(-4.58, (3.18, 3.40, -4.19, 5.04, 3.66, 5.78)),
        ("cosine", "relevance"): LogisticWeights(-4.65, (3.53, 4.09, -4.23, 7.15, 5.33)),
        ("cosine", "sentence"): LogisticWeights(-4.39, (3.40, 3.46, -3.94, 6.05, 7.01)),
        ("relevance", "sentence"): LogisticWeights(-3.51, (3.36, 3.47, -4.12, 4.77, 7.46)),
        ("cosine",): LogisticWeights(-4.50, (4.04, 4.50, -3.89, 9.85)),
        ("relevance",): LogisticWeights(-3.12, (4.12, 4.69, -4.23, 8.32)),
        ("sentence",): LogisticWeights(-3.01, (3.74, 3.58, -3.77, 9.81)),
        (): _WORDS_ALONE,
    },
}

# For passages in other languages than the question, of models that read many: size, and what the model measured. Fitted
# to the same English questions. Other languages are a little further apart, so the intercepts are 1 higher.
TRANSLATED_WEIGHTS: dict[Space, Fits] = {
    E5: {
        ("cosine", "relevance", "sentence"): LogisticWeights(-3.19, (-3.57, 6.01, 4.85, 8.93)),
        ("cosine", "relevance"): LogisticWeights(-3.55, (-3.44, 10.38, 8.16)),
        ("cosine", "sentence"): LogisticWeights(-3.02, (-3.14, 7.41, 10.87)),
        ("relevance", "sentence"): LogisticWeights(-2.00, (-3.38, 6.16, 11.21)),
        ("cosine",): LogisticWeights(-3.65, (-2.66, 15.90)),
        ("relevance",): LogisticWeights(-1.47, (-3.15, 13.96)),
        ("sentence",): LogisticWeights(-1.45, (-2.76, 14.79)),
    }
}
