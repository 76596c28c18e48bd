"""The words of a question that its answer is likely to repeat, and how much each weighs."""

import re
import unicodedata

from models.generation.relevance import STOP_WORDS
from models.generation.words import stem, words
from models.languages import unspaced
from models.languages.detection import language_of
from models.languages.function_words import FUNCTION_WORDS
from models.languages.normal_form import normal_form
from models.languages.stop_words import ENGLISH

# Added to the weight of each word. In a corpus of a few chunks, a word of theirs weighs next to nothing otherwise.
LEAST_WEIGHT = 2.0

# The answer has a measure in place of these.
_MEASURE = re.compile(
    r"\b(how|what)\s+(many|much|long|often|far|tall|old|big|large|high|fast|deep|wide|hot|heavy)\b", re.IGNORECASE
)
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
_MEASURED_FRACTION = 0.5  # of the letters


def content_weights(question: str, term_weights: dict[str, float]) -> dict[str, float]:
    """The weight of each stem of the question's content words. A word that no chunk has weighs the most."""
    unknown = max(term_weights.values(), default=0.0)
    weights: dict[str, float] = {}
    for word in content_words(question):
        weights[stem(word)] = max(weights.get(stem(word), 0.0), term_weights.get(word, unknown) + LEAST_WEIGHT)
    return weights


def asks_nothing(question: str) -> bool:
    """Whether a text has no sign but punctuation, or only words of grammar in lower case: "?", "and?"."""
    if not any(unicodedata.category(sign)[0] in "LNS" for sign in question):
        return True
    lowered = question[:1].lower() + question[1:]
    return lowered.islower() and _grammar(question).issuperset(words(question)) and bool(words(question))


def content_words(question: str) -> list[str]:
    """The words without those of grammar, in the language of the question; all words if no other is left."""
    grammar = _grammar(question)
    chosen = [word for word in words(_MEASURE.sub(" ", question)) if word not in grammar]
    chosen = [word for word in chosen if not unspaced.is_function_pair(word)]
    return chosen or [word for word in words(question) if word not in STOP_WORDS] or words(question)


def _grammar(question: str) -> frozenset[str]:
    return STOP_WORDS.union(ENGLISH, FUNCTION_WORDS.get(language_of(normal_form(question)), ()))


def has_unmeasured_script(text: str) -> bool:
    """Whether most letters are not Latin. The measured models cut such words to letters, or do not know them."""
    letters = "" if text.isascii() else "".join(_LETTER.findall(normal_form(text)))
    return len(_LATIN.findall(letters)) < _MEASURED_FRACTION * len(letters)
