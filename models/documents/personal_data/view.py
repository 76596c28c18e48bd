"""A text as a reader sees its numbers and addresses: ASCII digits and signs, and nothing that has no ink.

Personal data hide in full-width and Arabic digits, in letters of mathematics, and behind joiners of no width.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

UNSEEN = "\u200b"  # stands for every character without ink
TAGS = range(0xE0000, 0xE01F0)
FILLERS = (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10))
FULL_WIDTH, SMALL_FORMS, MATHEMATICAL = range(0xFF01, 0xFF5F), range(0xFE50, 0xFE70), range(0x1D400, 0x1D800)


@dataclass(frozen=True)
class View:
    """`text`, and the place of each of its characters in the original; None if the places are the same."""

    text: str
    places: list[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters of the original that characters `start` to `end` of the view stand for."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def view_of(text: str) -> View:
    """The view of a text. Time is linear in it."""
    if text.isascii():
        return View(text, None)
    folded = text.translate(_table())
    if UNSEEN not in folded:
        return View(folded, None)
    places = [place for place, character in enumerate(folded) if character != UNSEEN]
    return View(folded.replace(UNSEEN, ""), places)


@lru_cache(maxsize=1)
def _table() -> dict[int, str]:
    """The folded form of each character that has one. It is one character too, so places in the text stay."""
    characters = map(chr, (*range(0x80, 0x1FBFA), *TAGS))
    folded = ((character, _folded(character)) for character in characters)
    return {ord(character): form for character, form in folded if form != character}


def _folded(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Cf" or code in FILLERS or code in TAGS:
        return UNSEEN
    if category == "Pd" or code == 0x2212:
        return "-"
    if category == "Zs":
        return " "
    if code in FULL_WIDTH or code in SMALL_FORMS or code in MATHEMATICAL:
        form = unicodedata.normalize("NFKC", character)
        return form if len(form) == 1 else character
    return character
