"""Which passages support which field of a JSON answer: the measure of models/generation/support, field by field.

A field is a value that is no object and no array. It claims what it says: each sentence of a text, a number, or, for
true and false, the words of its name. null and a text about the answer itself, such as "unknown", claim nothing.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from models.generation.citations import Citation
from models.generation.reading import Sentence, sentence, sentences
from models.generation.support import has_numbers, is_claim, is_supported, normal_stems, statements
from models.generation.words import words
from models.types.chunks import Passage

MAX_FIELDS = 500  # later ones are not checked
MAX_CITATIONS = 3  # of a claim, the best passages first
NAME_WEIGHT = 0.5  # of a word of the field's name against one of its value, where a quote is chosen

_NUMBER_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_MAX_WHOLE_FLOAT = 1e15  # above it, a float has no exact digits
_INNER_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class FieldSupport:
    """A field by its JSON pointer (RFC 6901), and the ids of the citations that support it.

    `is_supported`: a passage supports each of its claims, or it has none.
    """

    pointer: str
    citation_ids: tuple[int, ...]
    is_supported: bool = True


@dataclass(frozen=True)
class _Claim:
    """What a field says, in the spellings that passages may have. `is_number`: a number alone."""

    spellings: tuple[str, ...]
    is_number: bool = False

    def is_in(self, passage: Passage) -> bool:
        return any(self._is_stated(spelling, passage) for spelling in self.spellings)

    def _is_stated(self, spelling: str, passage: Passage) -> bool:
        if not self.is_number:
            return is_supported(spelling, (passage,))
        if any(map(str.isdigit, spelling)):
            return has_numbers(spelling, passage)
        return spelling in words(passage.text)


def support_fields(text: str, passages: Sequence[Passage]) -> tuple[tuple[FieldSupport, ...], tuple[Citation, ...]]:
    """The fields of a JSON text in order, and the citations that support them. A text that is no JSON has no fields."""
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return (), ()
    citations = _Citations()
    fields = [
        _supported(pointer, name, _claims(name, value), passages, citations)
        for pointer, name, value in islice(_fields(root), MAX_FIELDS)
    ]
    return tuple(fields), citations.all


class _Citations:
    """The citations so far, by passage and quote."""

    def __init__(self) -> None:
        self._by_place: dict[tuple[int, int], Citation] = {}

    @property
    def all(self) -> tuple[Citation, ...]:
        return tuple(self._by_place.values())

    def add(self, passage: Passage, quote: Sentence, score: float) -> int:
        """The id of the citation, new or existing."""
        start, end = (passage.start + offset for offset in quote.span)
        citation = Citation(len(self._by_place) + 1, passage, quote.text, start, end, score)
        return self._by_place.setdefault((passage.key, start), citation).id


def _fields(root: Any) -> Iterator[tuple[str, str, Any]]:
    """The pointer, the nearest name and the value of each field, in order. No recursion: JSON may be deep."""
    pending: list[tuple[str, str, Any]] = [("", "", root)]
    while pending:
        pointer, name, value = pending.pop()
        if isinstance(value, dict):
            inner = [(f"{pointer}/{_escaped(key)}", key, each) for key, each in value.items()]
        elif isinstance(value, list):
            inner = [(f"{pointer}/{index}", name, each) for index, each in enumerate(value)]
        else:
            yield pointer, name, value
            continue
        pending += reversed(inner)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _claims(name: str, value: str | float | bool | None) -> list[_Claim]:
    if value is None:
        return []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [_Claim(tuple(_spellings(value)), is_number=True)]
    texts = [_spoken(name)] if isinstance(value, bool) else [statement.text for statement in statements(str(value))]
    return [_Claim((text,)) for text in texts if is_claim(text)]


def _supported(
    pointer: str, name: str, claims: list[_Claim], passages: Sequence[Passage], citations: _Citations
) -> FieldSupport:
    ids, is_whole = dict[int, None](), True
    for claim in claims:
        quotes = [(*_quote(passage, name, claim), passage) for passage in passages if claim.is_in(passage)]
        best = sorted(quotes, key=lambda quote: -quote[1])[:MAX_CITATIONS]
        ids |= dict.fromkeys(citations.add(passage, quote, score) for quote, score, passage in best)
        is_whole = is_whole and bool(quotes)
    return FieldSupport(pointer, tuple(ids), is_whole)


def _quote(passage: Passage, name: str, claim: _Claim) -> tuple[Sentence, float]:
    """The sentence that shares most with the claim and the field's name, and the fraction of both that it has."""
    own = normal_stems(" ".join(claim.spellings))
    named = normal_stems(_spoken(name)) - own
    quotable = sentences(passage.text) or (sentence(passage.text, (0, len(passage.text))),)

    def shared(quote: Sentence) -> float:
        stems = normal_stems(quote.text)
        return len(own & stems) + NAME_WEIGHT * len(named & stems)

    best = max(quotable, key=shared)
    return best, shared(best) / (len(own) + NAME_WEIGHT * len(named))


def _spoken(name: str) -> str:
    """A key as words: fired_with, fired-with and firedWith are "fired with"."""
    return _INNER_CAPITAL.sub(" ", name).replace("_", " ").replace("-", " ")


def _spellings(number: float) -> Iterator[str]:
    """A number as texts write it: 2 also as two, 2.0 as 2, 2.5 as 2,5. Signs are no words, so they do not count."""
    if isinstance(number, float) and number.is_integer() and abs(number) < _MAX_WHOLE_FLOAT:
        number = int(number)
    text = str(abs(number))
    yield text
    if isinstance(number, int) and abs(number) < len(_NUMBER_WORDS):
        yield _NUMBER_WORDS[abs(number)]
    if "." in text:
        yield text.replace(".", ",")
