"""Scores how well each sentence of the passages answers a question: by words, and by stored token vectors if known.

The weights below were chosen on 500 questions of SQuAD and 500 of Natural Questions, each with its own passage and four
distractors that BM25 ranks high; `ragserve bench extractive` measures the result on 1,000 others.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.generation.reading import Sentence, sentences, stems_and_size
from models.generation.words import stem, words
from models.types.arrays import FloatArray
from models.types.chunks import Passage

# All relative to 1, the score of a sentence that has every word of the question.
PASSAGE_WEIGHT = 0.7  # for the fraction of the question's words in the whole passage and its headings
RANK_WEIGHT = 0.2  # divided by the passage's rank
PLACE_WEIGHT = 0.05  # divided by the sentence's place in its passage
EXPECTED_WEIGHT = 0.2  # for a number if the question asks for a number; half of it for a name if it asks who
HEADING_WEIGHT = 0.5  # for a word that is in the heading above the sentence but not in the sentence
HEADING_PENALTY = 0.6  # for a heading itself: more than it adds to the sentences below it
# For MaxSim of the question and the sentence, where token vectors are stored. Of 0.5, 1, 2, 3 and 4, 3 and 4 are alike.
SIMILARITY_WEIGHT = 3.0
QUESTION_PENALTY = 3.0  # for a question: it answers none, and is often the heading of another entry of an FAQ
ECHO_PENALTY = 2.0  # for a unit that contains the whole question, such as an example of how to ask

_MIN_ECHO_WORDS = 3  # fewer words may be a name, such as "Irene Adler"

# Words without a subject. On 500 SQuAD questions without term weights from the corpus, the first sentence has the
# answer in 62.2% of the cases without this list and in 69.0% with it.
STOP_WORDS = frozenset(
    words(
        "a an and are as at be been being by can did do does for from had has have how i in is it its of on or should "
        "than that the their then there they this to was were what when where which who whom whose why with would"
    )
)
_ASKS_NUMBER = re.compile(
    r"\b(when|how (many|much|long|old|far|tall|big|often)|what (year|date|percent\w*)|which year)\b"
)
_AFTER_QUESTION = " \n*_#\"'”’»)]"
_ASKS_NAME = re.compile(r"\b(who|whom|whose)\b")
_NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|dozens?|hundreds?|thousands?|millions?|billions?|once|twice|"
    r"half|century|centuries)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\w\s+[A-Z]\w+")


@dataclass(frozen=True)
class Unit:
    """A sentence of passage `number` (from 1) at `place` (from 0), and the stems of the heading above it."""

    number: int
    place: int
    sentence: Sentence
    heading: frozenset[str]

    @property
    def text(self) -> str:
        return self.sentence.text

    @property
    def stems(self) -> frozenset[str]:
        return self.sentence.stems


def answer_units(passages: tuple[Passage, ...]) -> list[Unit]:
    """Every unit of the passages, in their order."""
    return [unit for number, passage in enumerate(passages, 1) for unit in _units(number, passage)]


def lexical_scores(
    question: str, units: list[Unit], passages: tuple[Passage, ...], idf: dict[str, float]
) -> list[float]:
    """A score for each unit, from about -5.6 to 2.2; higher is better.

    `idf` has the weights of the question's lower-cased words. If it is empty, words in fewer units weigh more.
    """
    weights = stem_weights(question, idf, units)
    question_words = tuple(words(question))
    passage_coverages = [coverage(weights, stems_and_size(passage.indexed_text)[0]) for passage in passages]
    return [
        coverage(weights, unit.stems)
        + HEADING_WEIGHT * coverage(weights, unit.heading - unit.stems)
        + PASSAGE_WEIGHT * passage_coverages[unit.number - 1]
        + RANK_WEIGHT / unit.number
        + PLACE_WEIGHT / (unit.place + 1)
        + _expected(question.lower(), unit.text)
        - HEADING_PENALTY * unit.sentence.is_heading
        - QUESTION_PENALTY * unit.text.rstrip(_AFTER_QUESTION).endswith(("?", "？", "؟"))
        - ECHO_PENALTY * _echoes(question_words, unit.sentence.words)
        for unit in units
    ]


def similarity_scores(units: list[Unit], sentence_scores: Sequence[FloatArray]) -> list[float]:
    """What the MaxSim of the question adds to each unit's score.

    `sentence_scores` has an array for each passage with a score for each of its units. The least known score stands in
    for an unknown one (NaN), so that a sentence without token vectors does not win by that.
    """
    scores = np.array([sentence_scores[unit.number - 1][unit.place] for unit in units], np.float32)
    is_known = np.isfinite(scores)
    if not is_known.any():
        return [0.0] * len(units)
    return (SIMILARITY_WEIGHT * np.where(is_known, scores, scores[is_known].min())).tolist()


def _units(number: int, passage: Passage) -> list[Unit]:
    units: list[Unit] = []
    heading: frozenset[str] = frozenset()
    for place, sentence in enumerate(sentences(passage.text)):
        units.append(Unit(number, place, sentence, heading))
        heading = sentence.stems if sentence.is_heading else heading
    return units


def _echoes(question: tuple[str, ...], sentence: tuple[str, ...]) -> bool:
    """Whether the sentence contains all words of the question, three or more, in sequence."""
    size = len(question)
    if size < _MIN_ECHO_WORDS or question[0] not in sentence:
        return False
    return any(sentence[start : start + size] == question for start in range(len(sentence) - size + 1))


def stem_weights(question: str, idf: dict[str, float], units: list[Unit]) -> dict[str, float]:
    """The weight of each stem of the question's words; stop words count only if there are no other words."""
    content_words = [word for word in words(question) if word not in STOP_WORDS] or words(question)
    if not idf:
        return {stem(word): _rarity(stem(word), units) for word in content_words}
    unknown = max(idf.values())  # for a word that is not in the corpus
    weights: dict[str, float] = {}
    for word in content_words:
        weights[stem(word)] = max(weights.get(stem(word), 0.0), idf.get(word, unknown))
    return weights


def _rarity(word_stem: str, units: list[Unit]) -> float:
    """Inverse document frequency as in BM25, with the units as documents."""
    num_units = sum(word_stem in unit.stems for unit in units)
    return math.log(1 + (len(units) - num_units + 0.5) / (num_units + 0.5))


def coverage(weights: dict[str, float], stems: frozenset[str]) -> float:
    """The fraction of the total weight, from 0 to 1, that belongs to the stems in `stems`."""
    total = sum(weights.values())
    return sum(weight for word_stem, weight in weights.items() if word_stem in stems) / total if total else 0.0


def _expected(question: str, text: str) -> float:
    """The bonus of a unit with a number or a name, if the question asks for one."""
    if _ASKS_NUMBER.search(question) and _NUMBER.search(text):
        return EXPECTED_WEIGHT
    return EXPECTED_WEIGHT / 2 if _ASKS_NAME.search(question) and _NAME.search(text) else 0.0
