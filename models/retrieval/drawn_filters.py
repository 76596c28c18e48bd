"""Filters that stand in a question: "in 2024", "in the HR handbook".

A filter is drawn only if the value of an attribute, or the name of a file, stands in the question as it is stored.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from models.filters import AttributeValue, Comparison, Compound, Filter
from models.languages.function_words import FUNCTION_WORDS
from models.languages.normal_form import normal_form
from models.languages.stop_words import ENGLISH

FILENAME = "filename"  # how a drawn file name is shown
MAX_VALUES = 64  # of one key; more are no filter
MAX_VALUE_CHARS = 100
MIN_LETTERS = 3  # of a value that is no abbreviation

_WORD = re.compile(r"[^\W_]+")
_GRAMMAR = frozenset(ENGLISH).union(*FUNCTION_WORDS.values())
_YEAR = re.compile(
    r"\b(?:in|of|from|for|during|since|year|im|jahr|jahre|von|aus|für|en|de|del|año|année|nel|anno)\s{1,3}(?:the\s)?"
    r"((?:1[5-9]|20)\d\d)\b",
    re.IGNORECASE,
)
_DATE = re.compile(r"((?:1[5-9]|20)\d\d)-[01]\d(?:-[0-3]\d)?(?:[T ].*)?$")
_CUE = re.compile(
    r"(?:\b(?:in|from|per|see|aus|laut|im|dans|selon|en|según)|\baccording to)\s{1,3}"
    r"(?:(?:the|our|my|a|der|dem|die|das|le|la|el)\s{1,3})?$",
    re.IGNORECASE,
)
_VERSION_WORD = re.compile(r"v?\d+|final|draft|copy|neu|entwurf")

Words = tuple[str, ...]
Entry = tuple[Words, str | None, AttributeValue]  # a value, with its key and its words


@dataclass(frozen=True)
class DrawnFilter:
    """The values of each key, one of which a file must have; and file names, of which one must be the file's."""

    values: Mapping[str, tuple[AttributeValue, ...]]
    filenames: frozenset[str] = frozenset()

    @property
    def where(self) -> Filter | None:
        """The filter of the attributes; None if only file names were drawn."""
        filters = tuple(Comparison("in", key, values) for key, values in self.values.items())
        return filters[0] if len(filters) == 1 else Compound("and", filters) if filters else None

    @property
    def shown(self) -> tuple[tuple[str, tuple[AttributeValue, ...]], ...]:
        names = ((FILENAME, tuple(sorted(self.filenames))),) if self.filenames else ()
        return (*self.values.items(), *names)

    def among(self, values: Mapping[str, frozenset[AttributeValue]], filenames: frozenset[str]) -> "DrawnFilter | None":
        """What of it is among these values and names; None if nothing is."""
        common = {key: tuple(each for each in own if each in values.get(key, ())) for key, own in self.values.items()}
        common = {key: each for key, each in common.items() if each}
        names = self.filenames & filenames
        return DrawnFilter(common, names) if common or names else None


@dataclass
class FilterIndex:
    """The values of a store by their first word, so that a question is read once, whatever the number of values.

    A file name has no key.
    """

    by_word: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    by_year: dict[str, list[tuple[str, AttributeValue]]] = field(default_factory=lambda: defaultdict(list))

    @staticmethod
    def of(values: Mapping[str, frozenset[AttributeValue]], filenames: frozenset[str]) -> "FilterIndex":
        index = FilterIndex()
        for key, of_key in values.items():
            for value in of_key:
                index._add(key, value)
        for filename in filenames:
            for words in _titles(filename):
                index.by_word[words[0]].append((words, None, filename))
        return index

    def draw(self, question: str) -> DrawnFilter | None:
        """The filters that stand in the question; None if there are none."""
        text = normal_form(question)
        values, filenames = defaultdict[str, set[AttributeValue]](set), set[str]()
        for key, value in self._matches(text):
            if key is None:
                filenames.add(str(value))
            else:
                values[key].add(value)
        chosen = {key: tuple(sorted(each, key=str)) for key, each in sorted(values.items()) if len(each) <= MAX_VALUES}
        names = frozenset(filenames) if len(filenames) <= MAX_VALUES else frozenset()
        return DrawnFilter(chosen, names) if chosen or names else None

    def _matches(self, text: str) -> Iterator[tuple[str | None, AttributeValue]]:
        matches = list(_WORD.finditer(text))
        words = [match.group().lower() for match in matches]
        for place, word in enumerate(words):
            for candidate, key, value in self.by_word.get(word, ()):
                if tuple(words[place : place + len(candidate)]) != candidate:
                    continue
                if _is_meant(text, matches[place].start(), (candidate, key, value)):
                    yield key, value
        for year in _YEAR.findall(text):
            yield from self.by_year.get(year, ())

    def _add(self, key: str, value: AttributeValue) -> None:
        if isinstance(value, bool):
            return
        if isinstance(value, int | float):
            if float(value).is_integer():
                self.by_year[str(int(value))].append((key, value))
            return
        if date := _DATE.match(value):
            self.by_year[date[1]].append((key, value))
        elif value.isdecimal():
            self.by_year[value].append((key, value))
        elif len(value) <= MAX_VALUE_CHARS and (words := _words(value)) and not _GRAMMAR.issuperset(words):
            self.by_word[words[0]].append((words, key, value))


def _is_meant(text: str, start: int, entry: Entry) -> bool:
    words, key, value = entry
    return _is_named(text, start, words) if key is None else _is_value(text[start:], words, value)


def _is_value(text: str, words: Words, value: AttributeValue) -> bool:
    """A short value is an abbreviation, which the question must write with the same capitals: HR, but not it."""
    letters = "".join(words)
    return len(letters) >= MIN_LETTERS or (str(value).isupper() and text.startswith(str(value)))


def _is_named(text: str, start: int, words: Words) -> bool:
    """Whether the words are a title, and not only what the question is about: two words, or "in the" before one."""
    return len(words) > 1 or _CUE.search(text[max(0, start - 40) : start]) is not None


def _titles(filename: str) -> Sequence[Words]:
    """The words of a file's name: with its suffix, without, and without a version or a year at the end."""
    path = PurePath(normal_form(filename))
    stem = _words(path.stem)
    short = stem
    while short and _VERSION_WORD.fullmatch(short[-1]):
        short = short[:-1]
    titles = dict.fromkeys((_words(path.name), stem, short))
    return [words for words in titles if len("".join(words)) >= MIN_LETTERS and not _GRAMMAR.issuperset(words)]


def _words(text: str) -> Words:
    return tuple(word.lower() for word in _WORD.findall(normal_form(text)))
