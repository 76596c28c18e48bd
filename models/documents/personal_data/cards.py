"""Numbers of payment cards: digits of an issuer's range and length, with Luhn's check digit."""

import re
from collections.abc import Iterator

from stdnum import luhn

from models.documents.personal_data.match import Clues, Match

GAP = r"(?:[ .-]|[ \t]?\n[ \t]?|  )?"
# Groups as on cards: 4-4-4-4(-3), 4-6-5, 4-6-4, or none. Looked for at each group: another number may come before.
NUMBER = re.compile(
    rf"(?<![A-Za-z0-9_])(?<!\d[.,])(?=(\d{{4}}{GAP}\d{{4}}{GAP}\d{{4}}{GAP}\d{{1,4}}(?:{GAP}\d{{1,3}})?(?!\d)"
    rf"|\d{{4}}{GAP}\d{{6}}{GAP}\d{{4,5}}(?!\d)))"
)
# American Express, Diners, Discover, JCB, Maestro, Mastercard, Mir, UnionPay, Visa: ISO 7812's ranges, and the lengths.
ISSUED = re.compile(
    r"3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|(?:6011|65\d\d|64[4-9]\d)\d{12}(?:\d{3})?|35\d{14}(?:\d{3})?"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|220[0-4]\d{12}|62\d{14}(?:\d{3})?|4\d{12}(?:\d{3}){0,2}"
)
SIGNS = re.compile(r"\D")


def find_cards(text: str, clues: Clues) -> Iterator[Match]:
    """Numbers of 13 to 19 digits, alone or in groups."""
    for candidate in NUMBER.finditer(text):
        for number in _shortened(candidate.group(1)):
            digits = SIGNS.sub("", number)
            if _is_card(digits) and not clues.are_of_a_thing(candidate.start()):
                yield Match("card", candidate.start(), candidate.start() + len(number))
                break


def _shortened(number: str) -> Iterator[str]:
    """The number, and without its last group: what follows a card's number may be its check code."""
    yield number
    groups = re.split(r"(\D+)", number)
    if len(groups) > 1:
        yield "".join(groups[:-2])


def _is_card(digits: str) -> bool:
    return ISSUED.fullmatch(digits) is not None and luhn.is_valid(digits) and len(set(digits)) > 1
