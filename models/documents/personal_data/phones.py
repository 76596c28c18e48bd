"""Telephone numbers: international ones, those after a word such as "phone", and those of a country's own form.

A number of a country's own form without any such word must be one that the country assigns.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

import phonenumbers
from stdnum import isbn

from models.documents.personal_data.match import Clues, Match

BEGINNING = r"(?<![A-Za-z0-9_@#/.,-])(?:\+[ \t]?|\([ \t]?\+?)?"
GAP = r"[ \t().\-/]{0,4}+"  # possessive, and bounded: time is linear in any text
LINE_END = r"[ \t]?[-/]?[ \t]?\n[ \t]?"
END = r"(?![A-Za-z0-9_@]|[.,]\d)"
ON_A_LINE = re.compile(rf"{BEGINNING}\d(?:{GAP}\d){{5,35}}{END}")
ON_TWO_LINES = re.compile(rf"{BEGINNING}\d(?:{GAP}\d){{0,12}}\)?{LINE_END}\(?\d(?:{GAP}\d){{0,12}}{END}")
NEXT_NUMBER = re.compile(r"\s*/\s*(?=\(?0[1-9])")
NORTH_AMERICAN = re.compile(r"(?:1[ .-]?)?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[-. /])[2-9]\d\d[-. ]\d{4}")  # (212) 555-0123
TRUNK = re.compile(r"\(?0[1-9]")
TELEPHONE = re.compile(
    r"(?:\b(?:tel|telephone|phone|call|fax|mobile|cell|cellphone|whatsapp|sms|ring|reach|dial|hotline|contact|telefon\w*"
    r"|telefax|handy\w*|mobil\w*|durchwahl|ruf\w*|anruf\w*|erreich\w*|tél|téléphone|portable|appel\w*|joindre|teléfono"
    r"|móvil|llam\w*|telefono|cellulare|chiam\w*|telefone|celular|telemóvel|ligue|telefoon\w*|bel|mobiel|puhelin|тел"
    r"|телефон\w*|звон\w*|моб)\b|电话|手机|電話|携帯|전화|โทร|هاتف|טלפון)"
    r"[\s.:#|=(,-]*(?:(?:numbers?|no|nr|num|nummer|numéro|número|numero|номер|is|are|me|us|him|her|them|on|at|under|via"
    r"|by|or|my|our|his|your|office|home|work|ist|sie|mich|uns|unter|lautet|au|le|al|en|es|est|ao|op)\b"
    r"[\s.:#|=(,-]*){0,4}$",
    re.IGNORECASE,
)
DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}|(?:19|20)\d\d(?:[ ./-]+(?:19|20)\d\d)+")
DECIMAL = re.compile(r"0\.\d+")
MIN_DIGITS, MAX_DIGITS = 6, 17  # 15 of an international number (ITU-T E.164), and 00 before it
MIN_DIGITS_ON_TWO_LINES = 8
REGIONS = (
    "DE",
    "GB",
    "FR",
    "IT",
    "CH",
    "AT",
    "BE",
    "NL",
    "AU",
    "IE",
    "SE",
    "JP",
    "IN",
    "ZA",
)  # with a 0 before the area
MAX_CHECKS = 20_000  # of one text; past it the form decides: phonenumbers takes 0.1 ms


def find_phones(text: str, clues: Clues) -> Iterator[Match]:
    """Numbers that are neither dates nor those of things, books or decimals."""
    checker = _Checker()
    ends = {0}
    for candidate in ON_A_LINE.finditer(text):
        for start, end in _numbers(candidate):
            if _is_phone(text[start:end], start, clues, checker):
                ends |= {start, end}
                yield Match("phone", start, end)
    for candidate in ON_TWO_LINES.finditer(text):
        is_new = not ends.intersection(range(candidate.start(), candidate.end() + 1))
        num_digits = sum(map(str.isdigit, candidate.group()))
        if (
            is_new
            and num_digits >= MIN_DIGITS_ON_TWO_LINES
            and _is_phone(candidate.group(), candidate.start(), clues, checker)
        ):
            yield Match("phone", candidate.start(), candidate.end())


def _numbers(candidate: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The places of the numbers that a slash may join: 030 123456 / 0170 123456."""
    start = candidate.start()
    for gap in NEXT_NUMBER.finditer(candidate.group()):
        yield start, candidate.start() + gap.start()
        start = candidate.start() + gap.end()
    yield start, candidate.end()


def _is_phone(number: str, start: int, clues: Clues, checker: "_Checker") -> bool:
    digits = "".join(filter(str.isdigit, number))
    if DATE.fullmatch(number) or DECIMAL.fullmatch(number) or not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return False
    if clues.name(start, TELEPHONE):
        return True
    if clues.are_of_a_thing(start):
        return False
    if "+" in number or digits.startswith("00"):
        return checker.ask(is_possible, digits.removeprefix("00"))
    if NORTH_AMERICAN.fullmatch(number):
        return True
    is_separated = TRUNK.match(number) is not None and not number.isdigit()
    return is_separated and not isbn.is_valid(digits) and checker.ask(is_assigned, digits)


class _Checker:
    """Asks whether a number can be one; only so often in one text."""

    def __init__(self) -> None:
        self._num_left = MAX_CHECKS

    def ask(self, check: Callable[[str], bool], digits: str) -> bool:
        self._num_left -= 1
        return self._num_left < 0 or check(digits)


@lru_cache(maxsize=4096)
def is_possible(digits: str) -> bool:
    """Whether a number with its country's code has a length that the country uses."""
    number = _parse(f"+{digits}", None)
    return number is not None and phonenumbers.is_possible_number(number)


@lru_cache(maxsize=4096)
def is_assigned(digits: str) -> bool:
    """Whether a national number is one of REGIONS."""
    numbers = ((region, _parse(digits, region)) for region in REGIONS)
    return any(number and phonenumbers.is_valid_number_for_region(number, region) for region, number in numbers)


def _parse(number: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
