"""Identifiers inside a text: whole (`v1.2.3`, `CVE-2024-1234`, `C++`, `snake_case`) and in parts (`camelCase`).

An analyzer of words splits at everything that is neither letter nor digit. So a whole identifier is written as one
word, with a letter of an unused alphabet in place of each joiner. Plain words of a text cost only a few checks each.
"""

import re
from collections.abc import Iterator

MAX_VERSION_NUMBERS = 16  # of a shorter version that a longer one is found by
MIN_PART_CHARS = 2  # shorter parts are in too many names

# Thaana letters: two bytes each, without case, accent or stem.
_JOINERS = str.maketrans(dict(zip("._-/:@&+#", map(chr, range(0x0780, 0x0789)), strict=True)))
_OUTSIDE = "()[]{}<>,;:!?.\"'`‘’“”„«»*|\\/-_=~%$…"
_SMALL = "a-zß-öø-ÿ\u03ac-\u03ce\u0430-\u045f\u0600-\u06ff\u0900-\u0dff"
_PLAIN_WORD = rf"(?:[^\W\d_]?[{_SMALL}]*|[A-Z]+)"
_PLAIN = rf"[(\[\"'“‘«]*(?:{_PLAIN_WORD}(?:['’/–-]{_PLAIN_WORD})*|\d+)[.,;:!?)\]\"'”’»]*(?!\S)"
_MARKED = re.compile(rf"(?<!\S)(?!{_PLAIN})\S+")  # decided without Python for each word: texts are long
# Only from the beginning of a run of letters: from each of its letters a long run would take quadratic time.
_JOINED = re.compile(r"(?<![^\W_])[^\W_]+(?:(?:[-./:@&+]|::|_+)[^\W_]+)+")
_SYMBOL_NAME = re.compile(r"(?<![^\W_])(?:[A-Za-z]{1,4}(?:\+\+|#)|\.NET\b)(?!\w)")
_WORTH = re.compile(r"\d|[^\W_]{2}[._]|[@&:_]")  # neither well-known nor i.e.
_HUMP = re.compile(r"[a-z\d][A-Z]|[A-Z]{2}[a-z]{2}")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z]{2})|[A-Z]?[a-z]+|[A-Z]+|\d+")
_VERSION = re.compile(r"[vV]?(\d+(?:\.\d+)+)")
_WORD = re.compile(r"[^\W_]+")


def marked_words(text: str) -> list[str]:
    """The words between white space that are more than plain words or a whole number, punctuation aside."""
    return _MARKED.findall(text)


def wholes(word: str) -> list[str]:
    """Return the identifiers in a word as terms: each whole, a version also without its `v` and without its last parts.

    `word` has no white space. `v1.2.3` gives v1.2.3, 1.2.3 and 1.2.
    """
    names = (shorter for name in whole_names(word) for shorter in _with_shorter_versions(name))
    return list(map(as_term, dict.fromkeys(names)))


def whole_names(word: str) -> list[str]:
    """Return the identifiers in a word as they are written. `word` has no white space."""
    if word.isalpha():
        return []
    names = [name.group() for name in _SYMBOL_NAME.finditer(word)]
    joined = (match.group() for match in _JOINED.finditer(word.strip(_OUTSIDE)))
    return names + [name for name in joined if _WORTH.search(name)]


def parts(word: str) -> list[str]:
    """Return the parts of the camelCase names in a word, such as parse, HTML and Response of parseHTMLResponse."""
    if not _HUMP.search(word):
        return []
    names = (name for name in _WORD.findall(word) if _HUMP.search(name))
    return [piece for name in names for piece in _PART.findall(name) if len(piece) >= MIN_PART_CHARS]


def as_term(name: str) -> str:
    return name.lower().translate(_JOINERS)


def _with_shorter_versions(name: str) -> Iterator[str]:
    yield name
    version = _VERSION.match(name)
    if version is None:
        return
    if version.group(1) != name:
        yield version.group(1)
    numbers = version.group(1).split(".")
    longest = min(len(numbers) - 1, MAX_VERSION_NUMBERS)
    yield from (".".join(numbers[:length]) for length in range(longest, 1, -1))
