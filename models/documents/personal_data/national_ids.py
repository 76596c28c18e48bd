"""Numbers that states give to persons, by their form and their check digits.

A number whose form says little counts only after its name: nine digits after "SSN", eleven after "PESEL".
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.ro import cnp
from stdnum.se import personnummer

from models.documents.personal_data.match import Clues, Match

# A word that has a digit after at most six letters.
BEGINNING = re.compile(r"(?<![A-Za-z0-9_@/.,-])(?=[A-Za-z]{0,3}[ .-]?[A-Za-z]{0,3}[ .-]?\d)")
GAP = r"[ .-]?"
WIDE_GAP = r"(?:[ .-]|[ \t]?\n[ \t]?)?"
NUM_FIRST, MIN_DIGITS = 12, 7  # among so many characters, a number has so many digits: 2 95 10 99 126 the fewest
SIGNS = re.compile(r"[\s.-]")


@dataclass(frozen=True)
class NationalId:
    """A number's form, its check, and the name that must stand before it; None if form and check suffice."""

    form: re.Pattern[str]
    is_valid: Callable[[str], bool]
    name: re.Pattern[str] | None = None


def find_national_ids(text: str, clues: Clues) -> Iterator[Match]:
    """Numbers with a right check; those of things, such as orders, are none."""
    for beginning in BEGINNING.finditer(text):
        start = beginning.start()
        is_number = text[start].isdigit()
        if is_number and sum(map(str.isdigit, text[start : start + NUM_FIRST])) < MIN_DIGITS:
            continue
        for national_id in _WITH_DIGITS if is_number else _WITH_LETTERS:
            candidate = national_id.form.match(text, start)
            if candidate and national_id.is_valid(candidate.group()) and _is_named(national_id, start, clues):
                yield Match("national_id", start, candidate.end())
                break


def _is_named(national_id: NationalId, start: int, clues: Clues) -> bool:
    if national_id.name is not None:
        return clues.name(start, national_id.name)
    return not clues.are_of_a_thing(start)


def _is_ssn(number: str) -> bool:
    """United States: no area 000 or 666, no group 00, no serial 0000. Those of taxpayers begin with 9."""
    digits = SIGNS.sub("", number)
    return digits[:3] not in ("000", "666") and digits[3:5] != "00" and digits[5:] != "0000"


def _is_nino(number: str) -> bool:
    """United Kingdom: HMRC's prefixes."""
    prefix = number[:2].upper()
    is_used = prefix not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")
    return is_used and prefix[0] not in "DFIQUV" and prefix[1] not in "DFIOQUV"


def _bare(is_valid: Callable[[str], bool]) -> Callable[[str], bool]:
    """A check of the number without its gaps."""
    return lambda number: is_valid(SIGNS.sub("", number))


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern})(?![A-Za-z0-9_@]|[.,-]\d)", re.IGNORECASE)


def _name(words: str) -> re.Pattern[str]:
    number = r"(?:is|ist|est|es|è|number|no|nr|num|nummer|numéro|número|numero|lautet)\b[\s.:#№|=(-]*"
    return re.compile(rf"\b(?:{words})[\s.:#№|=(-]*(?:{number}){{0,3}}$", re.IGNORECASE)


_SSN_NAME = _name(r"ssn|itin|tin|social[ -]security|taxpayer[ -]id\w*")
_OMOCODE = "[0-9LMNPQRSTUV]"  # letters that stand for digits in Italian codes that two persons would share
_CODICE = rf"{_OMOCODE}{{2}}[A-EHLMPRST]{_OMOCODE}{{2}}{GAP}[A-Z]{_OMOCODE}{{3}}[A-Z]"
_WITH_LETTERS = (
    NationalId(_form(rf"[A-Z]{{2}}{GAP}\d\d{GAP}\d\d{GAP}\d\d{GAP}[A-D]"), _is_nino),
    NationalId(_form(r"[XYZ][ -]?\d{7}[ -]?[A-Z]"), nie.is_valid),
    NationalId(_form(rf"[A-Z]{{3}}{GAP}[A-Z]{{3}}{GAP}{_CODICE}"), _bare(codicefiscale.is_valid)),
)
_WITH_DIGITS = (
    NationalId(_form(r"\d{3}-\d\d-\d{4}|\d{3} \d\d \d{4}"), _is_ssn),
    NationalId(_form(r"\d{9}"), _is_ssn, _SSN_NAME),
    NationalId(_form(r"\d\d \d{3} \d{3} \d{3}|\d{11}"), idnr.is_valid),
    NationalId(_form(r"\d{8}[ -]?[A-Z]|\d\d\.\d{3}\.\d{3}[ -]?[A-Z]"), _bare(dni.is_valid)),
    NationalId(
        _form(WIDE_GAP.join(["[1-478]", r"\d\d", r"\d\d", r"(?:\d\d|2[AB])", r"\d{3}", r"\d{3}", r"\d\d"])),
        _bare(nir.is_valid),
    ),
    NationalId(_form(r"756\.?\d{4}\.?\d{4}\.?\d\d"), ahv.is_valid),
    NationalId(_form(r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d"), nn.is_valid),
    NationalId(_form(r"\d{3}\.\d{3}\.\d{3}-\d\d"), cpf.is_valid),
    NationalId(_form(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]"), hetu.is_valid),
    NationalId(_form(r"(?:\d\d)?\d{6}[-+]\d{4}"), personnummer.is_valid),
    NationalId(_form(r"\d{17}[\dX]"), ric.is_valid),
    NationalId(_form(r"\d{11}"), pesel.is_valid, _name("pesel")),
    NationalId(_form(r"\d{9}"), bsn.is_valid, _name("bsn|burgerservicenummer|sofinummer")),
    NationalId(_form(r"\d{3}[ -]?\d{3}[ -]?\d{3}"), sin.is_valid, _name("sin|nas|social insurance")),
    NationalId(_form(r"\d{4} ?\d{4} ?\d{4}"), aadhaar.is_valid, _name("aadhaar|aadhar|uidai")),
    NationalId(_form(r"\d{3} ?\d{3} ?\d{3}"), nif.is_valid, _name("nif|contribuinte")),
    NationalId(_form(r"\d{13}"), cnp.is_valid, _name("cnp")),
    NationalId(_form(r"\d{6}-?\d{4}"), cpr.is_valid, _name("cpr|cpr-nummer")),
    NationalId(_form(r"\d{6} ?\d{5}"), fodselsnummer.is_valid, _name("fødselsnummer|fnr|personnummer")),
)
