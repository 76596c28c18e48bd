"""International bank account numbers: of a country's length, and right modulo 97 (ISO 13616)."""

import re
from collections.abc import Iterator

from stdnum.iso7064 import mod_97_10

from models.documents.personal_data.match import Clues, Match

# SWIFT's registry of IBANs, release 99: each country's letters, and the characters of its numbers.
REGISTRY = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18
FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24
SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
LENGTHS = {entry[:2]: int(entry[2:]) for entry in REGISTRY.split()}
BEGINNING = re.compile(r"(?<![^\W_])[A-Za-z]{2}[ -]?\d{2}(?=[\s-]{0,3}[A-Za-z0-9])")
GAP = re.compile(r"[ \t-]?\n?[ \t]?")


def find_ibans(text: str, clues: Clues) -> Iterator[Match]:
    """Numbers in groups of any size, also over a line break."""
    for candidate in BEGINNING.finditer(text):
        length = LENGTHS.get(candidate.group()[:2].upper())
        if length is None:
            continue
        number, end = _read(text, candidate.start(), length)
        if len(number) == length and not text[end : end + 1].isalnum() and _is_right(number):
            yield Match("iban", candidate.start(), end)


def _read(text: str, start: int, length: int) -> tuple[str, int]:
    """The next `length` letters and digits, with small gaps between them, and where they end."""
    characters: list[str] = []
    position = start
    while len(characters) < length and position < len(text):
        if not (text[position].isascii() and text[position].isalnum()):
            gap = GAP.match(text, position)
            if gap is None or gap.end() == position:
                break
            position = gap.end()
            if not (text[position : position + 1].isascii() and text[position : position + 1].isalnum()):
                break
        characters.append(text[position])
        position += 1
    return "".join(characters), position


def _is_right(number: str) -> bool:
    return mod_97_10.is_valid((number[4:] + number[:4]).upper())
