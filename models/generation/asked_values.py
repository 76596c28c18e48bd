"""The value that a question asks for, such as a price, a person or a date, and whether a text has one.

"How much does the kettle cost?" has no answer in a text without an amount of money, however near the text is. A value
is told by its form and by the words around it, and generously: a text that may have one has one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from models.generation.value_words import VALUE_WORDS
from models.generation.words import words
from models.languages.normal_form import normal_form

MAX_CACHED_TEXTS = 4_096


@dataclass(frozen=True)
class AskedValue:
    """A sort of value: `asks` tells its questions, and a text has it by one of the `words` or by its `form`."""

    name: str
    asks: re.Pattern[str]
    words: frozenset[str]
    form: re.Pattern[str]

    @property
    def is_measure(self) -> bool:
        """Whether the value has a unit or a word of its own, so that no other sentence is an answer."""
        return self.name not in ("person", "time", "place", "duration", "number")


def _sort(name: str, asks: str, form: str = r"(?!)") -> AskedValue:
    return AskedValue(name, re.compile(asks, re.IGNORECASE), frozenset(VALUE_WORDS[name].split()), re.compile(form))


_WHAT = r"\b(?:what|which)\b.{0,80}\b"
_FIRST = r"^\W*(?:and |so |but )?"

# The first that asks counts.
SORTS = (
    _sort(
        "price",
        r"\bhow much\b.{0,80}\b(?:cost|pay|paid|charged?|price|worth|earn|spend|spent|sell|sold|rent|fine)\b"
        rf"|{_WHAT}(?:price|costs?|fees?|fare|rent|salary|wage)\b"
        r"|\bhow much (?:is|are|was|were) (?:the|a|an|one) [\w-]+\W*$"
        r"|\bwie ?viel (?:kostet|kosten|geld|euro)\b|\bwas kostet|\bwas kosten|\bcombien coûte|\bcuánto cuesta",
        r"[$€£¥₹₽]",
    ),
    _sort(
        "person",
        rf"{_FIRST}(?:who|by whom|whose|wer|wem|wen|wessen)\b(?! (?:is|was|are|were|ist|war) (?-i:[A-Z]))",
        r"[\w,;:)]\s[\"“(]?(?:[A-Z][^\W\d_]{2,}|[A-Z]\.)|\b\w{3,}(?:ist|ists|ian|ians|eer|eers|man|men|woman)\b|@",
    ),
    _sort(
        "time",
        rf"{_FIRST}when\b|\bwhen (?:was|were|is|are|did|does|do|will|has|have|can|must)\b"
        r"|\b(?:what|which) (?:year|date|day|month|century|decade|time|hour|season|weekday)\b"
        r"|\bwann\b|\bum wie ?viel uhr\b|\bquand\b|\bcuándo\b",
        r"\b1\d{3}s?\b|\b20\d\d\b|\b\d{1,2}[:.h]\d{2}\b|\b\d{1,2}\s?(?:am|pm|a\.m|p\.m|o'clock|Uhr)|\d[./-]\d{1,2}[./-]",
    ),
    _sort(
        "place",
        rf"{_FIRST}(?:from )?where\b|{_FIRST}(?:wo|woher|wohin)\b"
        r"|\b(?:what|which) (?:city|town|country|place|room|building|street|region|village|county|continent)\b",
        r"\b(?i:in|at|on|near|to|under|above|below|between|inside|outside|from|into|through|across|along|around|within"
        r"|throughout|over|of|beneath|towards?|im|am|an|auf|bei|beim|unter|über|aus|zum|zur|nach)\s+[^\W\d]"
        r"|://|www\.|/\w",
    ),
    _sort("duration", r"\bhow (?:long|often|old|frequently|many times)\b|\bwie (?:lange|oft|alt)\b", r"\d"),
    _sort(
        "weight",
        rf"\bhow heavy\b|\bhow much\b.{{0,80}}\bweigh|{_WHAT}(?:weight|mass|weigh)\b|\bwie schwer\b|\bwie ?viel wieg",
        r"\d\s?(?:kg|g|t|mg)\b",
    ),
    _sort(
        "temperature",
        rf"\bhow (?:hot|cold|warm)\b|{_WHAT}temperatures?\b|\bwie (?:heiß|kalt|warm)\b",
        r"°|\d\s?[CFK]\b",
    ),
    _sort("voltage", rf"{_WHAT}(?:voltage|volts)\b|\bwelche spannung\b", r"\d\s?k?V\b"),
    _sort("power", rf"{_WHAT}(?:wattage|watts|horsepower)\b", r"\d\s?[kM]?W\b"),
    _sort(
        "speed",
        rf"\bhow fast\b|{_WHAT}(?:speed|velocity)\b|\bwie schnell\b",
        r"\d\s?[\w.]{1,12}/\s?[smh]|\bper\b",
    ),
    _sort(
        "colour",
        r"\b(?:what|which) colou?rs?\b|\bwelche farbe|\bquelle couleur",
        r"\b(?i:rot|grün|blau|gelb|schwarz|weiß|grau|braun)e[nrsm]?\b",
    ),
    _sort(
        "percentage",
        r"\b(?:what|which) (?:percent\w*|share|fraction|proportion)\b|\bhow many percent\b|\bwie ?viel prozent\b",
        r"\d\s?%|\bper cent\b|\d/\d",
    ),
    _sort("number", r"\bhow many\b|\bwie ?viele\b|\bcombien de\b|\bcuánt[oa]s\b", r"\d"),
    _sort("e-mail address", r"\be-?mail address\b", "@"),
    _sort("phone number", r"\b(?:phone|telephone|fax) number\b|\btelefonnummer\b", r"\d[\d\s()/+.-]{3,30}\d"),
)


@lru_cache(MAX_CACHED_TEXTS)
def asked_value(question: str) -> AskedValue | None:
    """The first sort that the question asks for; None: no value that its form tells."""
    text = " ".join(normal_form(question).split())
    return next((sort for sort in SORTS if sort.asks.search(text)), None)


@lru_cache(MAX_CACHED_TEXTS)
def values_in(text: str) -> frozenset[str]:
    """The names of the sorts that a text may have."""
    return frozenset(_sorts_in(normal_form(text)))


def _sorts_in(text: str) -> Iterator[str]:
    present = frozenset(words(text))
    return (sort.name for sort in SORTS if not sort.words.isdisjoint(present) or sort.form.search(text))
