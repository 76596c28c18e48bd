"""Evidence: how likely the retrieved passages answer a question, from 0 to 1.

A logistic model of a few features of the passages, measured by `ragserve bench evidence` (numbers: docs/quality.md).
With a measured embedding model it reads word coverage, the cosine of the nearest chunk, the relevance of the best one,
the nearest sentence, and how many chunks were searched. Each set of features has a fit of its own, so a feature that is
missing lowers no evidence. A fit of fewer features leans to answering.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.generation.asked_values import asked_value, values_in
from models.generation.evidence_weights import (
    LEAST_COSINE,
    MINILM,
    TRANSLATED_WEIGHTS,
    WEIGHTS,
    Space,
)
from models.generation.exact_names import lacks_named, names_of, words_with_digits
from models.generation.question_words import asks_nothing, content_weights, has_unmeasured_script
from models.generation.reading import stems_and_size
from models.generation.relevance import Unit, answer_units, coverage
from models.generation.words import words
from models.languages.tags import language_tag
from models.types.arrays import FloatArray
from models.types.chunks import Passage

MIN_EVIDENCE = 0.3
MAX_CANDIDATES = 50  # more chunks count as this many: the searches return no more by default
ALL_WORDS = 0.999  # sums of weights are not exact
HALF_OF_THE_WORDS = 0.5
WITHOUT_NAMED = 0.1  # the most if the identifier of the question is nowhere in the passages
WITHOUT_VALUE = 0.2  # the most if no passage has a price, a person or a date, and the question asks for it


@dataclass(frozen=True)
class Signals:
    """How near the best candidate is: its `relevance` by the reranker, 0 to 1, and its `cosine`. None: unknown.

    `num_candidates`: the best of how many chunks it is. `space`: whose vectors these are.
    """

    relevance: float | None = None
    cosine: float | None = None
    num_candidates: int = MAX_CANDIDATES
    space: Space = MINILM


@dataclass(frozen=True)
class Features:
    """What the evidence is estimated from, each 0 to 1.

    `passage_words` and `sentence_words`: the fraction of the question's words, by weight, in the best passage and the
    best sentence with its headings. `cosine` of the nearest chunk, `relevance` of the best one, and MaxSim of the
    nearest `sentence`; None if they are unknown. `size`: the best of how many chunks, on a scale of logarithms.
    `names`: whether the question's identifier is in a sentence with half of its words (True), or nowhere (False).
    `value`: whether there is a value of the sort that the question asks for; None if its form does not tell.
    `is_translated`: the passages are in other languages than the question, so its words tell nothing.
    """

    passage_words: float
    sentence_words: float
    cosine: float | None = None
    relevance: float | None = None
    sentence: float | None = None
    size: float = 1.0
    names: bool | None = None
    value: bool | None = None
    space: Space = MINILM
    is_translated: bool = False

    @property
    def words(self) -> "Features":
        """The features that need no model."""
        return replace(self, cosine=None, relevance=None, sentence=None, is_translated=False)

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the features that a model measured."""
        return tuple(name for name in ("cosine", "relevance", "sentence") if getattr(self, name) is not None)

    def vector(self) -> list[float]:
        """The features of words, unless they tell nothing, and of size, then those that a model measured."""
        by_words = [] if self.is_translated else [self.passage_words, self.sentence_words]
        least = LEAST_COSINE[self.space]
        return [*by_words, self.size, *((getattr(self, name) - least) / (1 - least) for name in self.measured)]


def probability(features: Features) -> float:
    """The evidence, 0 to 1.

    At least MIN_EVIDENCE if one sentence has every word of the question, or its identifier and half of its words. At
    most WITHOUT_NAMED if an identifier of the question is missing, and WITHOUT_VALUE if no value of its sort is there.
    """
    if features.names is False:
        return min(WITHOUT_NAMED, _fitted(features))
    has_all_words = features.sentence_words >= ALL_WORDS
    if features.value is False:
        return min(WITHOUT_VALUE, _fitted(features))
    is_literal = has_all_words or features.names is True
    return max(_fitted(features), MIN_EVIDENCE if is_literal else 0.0)


def _fitted(features: Features) -> float:
    fits = TRANSLATED_WEIGHTS if features.is_translated else WEIGHTS
    return fits[features.space][features.measured].probability(features.vector())


def estimate_evidence(
    question: str,
    passages: tuple[Passage, ...],
    term_weights: dict[str, float],
    sentence_scores: Sequence[FloatArray],
    signals: Signals,
) -> float:
    """How likely the passages answer the question, 0 to 1; 0 without passages.

    A question without a word, of emoji for example, has evidence only where it is in a passage as it is. One of
    punctuation or of words of grammar asks nothing.
    """
    if not passages or asks_nothing(question):
        return 0.0
    if not words(question):
        return float(any(question.strip() in passage.text for passage in passages if question.strip()))
    return probability(read_features(question, passages, term_weights, sentence_scores, signals))


def read_features(
    question: str,
    passages: tuple[Passage, ...],
    term_weights: dict[str, float],
    sentence_scores: Sequence[FloatArray],
    signals: Signals,
) -> Features:
    """The features of one or more passages, best first."""
    units, weights = answer_units(passages), content_weights(question, term_weights)
    headings = [_stems_of_context(passage) for passage in passages]
    coverages = [coverage(weights, unit.stems | unit.heading | headings[unit.number - 1]) for unit in units]
    by_words = Features(
        max(coverage(weights, stems_and_size(passage.indexed_text)[0]) for passage in passages),
        max(coverages, default=0.0),
        size=math.log(1 + min(signals.num_candidates, MAX_CANDIDATES)) / math.log(1 + MAX_CANDIDATES),
        names=_names(question, passages, units, coverages),
        value=_value(question, passages, coverages),
        space=signals.space,
    )
    # A keyword: the models were measured on questions. Of some scripts the English model knows no word.
    if len(weights) == 1 or (signals.space == MINILM and has_unmeasured_script(question)):
        return by_words
    finite = [scores[np.isfinite(scores)] for scores in sentence_scores]
    nearest = max((float(scores.max()) for scores in finite if len(scores)), default=None)
    measured = replace(by_words, cosine=signals.cosine, relevance=signals.relevance, sentence=nearest)
    return replace(
        measured, is_translated=bool(measured.measured) and _is_translated(question, passages, signals.space)
    )


def _is_translated(question: str, passages: tuple[Passage, ...], space: Space) -> bool:
    """See Features.is_translated. False for a model that was not measured on it."""
    return space in TRANSLATED_WEIGHTS and language_tag(question) not in {
        language_tag(passage.text) for passage in passages
    }


def _stems_of_context(passage: Passage) -> frozenset[str]:
    """The stems of the titles, the headings and the names of the columns above a passage."""
    return stems_and_size(passage.indexed_text[: len(passage.indexed_text) - len(passage.text)])[0]


def _value(question: str, passages: tuple[Passage, ...], coverages: Sequence[float]) -> bool | None:
    """See Features.value. A sentence with every word of the question may have a value in another form."""
    value = asked_value(question)
    if value is None:
        return None
    if any(value.name in values_in(passage.indexed_text) for passage in passages):
        return True
    is_literal = not value.is_measure and max(coverages, default=0.0) >= ALL_WORDS
    return None if is_literal else False


def _names(
    question: str, passages: tuple[Passage, ...], units: Sequence[Unit], coverages: Sequence[float]
) -> bool | None:
    """See Features.names."""
    names, digit_words = names_of(question), words_with_digits(question)
    if lacks_named(question, [passage.indexed_text for passage in passages]):
        return False
    if not names and not digit_words:
        return None
    covered = (unit for unit, share in zip(units, coverages, strict=True) if share >= HALF_OF_THE_WORDS)
    return True if any(digit_words & set(unit.sentence.words) for unit in covered) else None
