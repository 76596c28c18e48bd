"""The beginnings and ends of long German words, so that `Prüfung` finds `Kühlanlagenprüfung`.

German writes compounds as one word. They are cut where a line may be broken: each syllable may begin a part.
"""

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyphen import Pyphen

GERMAN = "german"
MIN_WORD, MAX_WORD, MIN_PART = 10, 60, 5
MAX_CACHED_WORDS = 65_536  # a few MB
_LONG_WORD = re.compile(rf"(?<!\w)[^\W\d_]{{{MIN_WORD},{MAX_WORD}}}(?!\w)")


def parts_of_compounds(text: str) -> list[str]:
    """The parts of all long words of a German text, lower-cased, as often as their words occur."""
    return [piece for match in _LONG_WORD.finditer(text) for piece in _parts(match.group().lower())]


@lru_cache(MAX_CACHED_WORDS)
def _parts(word: str) -> tuple[str, ...]:
    """Each beginning and each end of whole syllables that is long enough to be a word."""
    breaks = [int(place) for place in _syllables().positions(word)]
    beginnings = [word[:place] for place in breaks if place >= MIN_PART]
    ends = [word[place:] for place in breaks if len(word) - place >= MIN_PART]
    return tuple(dict.fromkeys(beginnings + ends))


@cache
def _syllables() -> "Pyphen":
    import pyphen

    return pyphen.Pyphen(lang="de_DE")
