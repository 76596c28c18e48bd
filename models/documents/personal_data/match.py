"""A piece of personal data in a text, and what tells it from other numbers: the words before it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from models.enrichment.options import Kind

CHARS_BEFORE = 48
LETTER = re.compile(r"[^\W\d_]")
# A number after these is of a thing, not of a person.
OF_A_THING = re.compile(
    r"\b(?:isbn|issn|ean|gtin|upc|doi|orders?|bestell\w*|auftr[aä]g\w*|commande|pedido|ordine|invoices?|rechnung\w*"
    r"|facture|factura|fattura|articles?|artikel\w*|items?|parts?|sku|serial|serien\w*|model|versions?|ver|v|releases?"
    r"|builds?|rev|revision|tickets?|issues?|cases?|tracking|sendung\w*|reference|ref|aktenzeichen|az|policy|batch|lot"
    r"|patent|rfc|iso|din|kernel|firmware|drivers?|sdk|kundennummer|(?:customer|account)[ -](?:no|number|id)|chapter"
    r"|sections?|figures?|fig|tables?|pages?|pp?|commit|hash|заказ\w*|версия)"
    r"[\s.:#№|_-]*(?:(?:no|nr|num|number|nummer|numéro|número|numero|id|code|код|n[°º])(?!\w)[\s.:#№|_-]*)?\(?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Match:
    """Characters `start` to `end` of a view are personal data of this kind."""

    kind: Kind
    start: int
    end: int


class Clues:
    """What precedes the characters of a view: the words before them, and the name of their column in a table."""

    def __init__(self, text: str, column_of: Callable[[int], str]) -> None:
        self._text, self._column_of = text, column_of

    def name(self, start: int, pattern: re.Pattern[str]) -> bool:
        """Whether the words before, or the name of the column, match a pattern that ends with `$`."""
        words = self._text[max(0, start - CHARS_BEFORE) : start]
        if LETTER.search(words) and pattern.search(words):
            return True
        column = self._column_of(start)
        return bool(column) and _is_match(pattern, column)

    def are_of_a_thing(self, start: int) -> bool:
        """Whether the number at `start` belongs to a thing: an order, a book, a version."""
        return self.name(start, OF_A_THING)


# Finds the personal data of a kind in a view's text. Matches may overlap.
Detector = Callable[[str, Clues], Iterator[Match]]


@lru_cache(maxsize=4096)
def _is_match(pattern: re.Pattern[str], words: str) -> bool:
    return pattern.search(words) is not None
