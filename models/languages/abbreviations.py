"""Full stops that end no sentence: after an abbreviation, an initial or an ordinal number.

sentencex has rules for abbreviations in some languages. This adds those that it lacks.
"""

import re

from models.languages.function_words import FUNCTION_WORDS

# What stands before a name or a number, so that a capital letter after it begins no sentence.
_BEFORE_NAME_LINES = {
    "danish": "nr dr prof kap fig tab ca tlf hr fr frk skt bl vedr",
    "dutch": "nr dr ir ing prof art blz fig tab ca dhr mevr mw st vgl mr drs",
    "english": "approx mr mrs ms dr prof fig eq vol ca vs st",
    "finnish": "nro dr prof kpl esim ks vrt n klo puh os",
    "french": "m mm mme mmes mlle dr pr me av bd art no chap fig tab p pp st ste cf vol éd env tél",
    "german": "hr fr frl dr prof nr abs art abb tab kap bzw geb gest ca st vgl tel dipl ing str s max min inkl zzgl",
    "hungarian": "dr prof sz kb ill ifj özv u tel ún pl",
    "italian": "sig sigg sig.ra dott dott.ssa dr prof prof.ssa avv ing arch geom on art artt pag pagg n nn cap fig tab "
    "cfr d.lgs d.l p tel lett",
    "norwegian": "nr dr prof kap fig tab ca tlf hr fr bl vedr",
    "portuguese": "sr sra srs dr dra prof profa eng av r n núm nº art pág págs fig cap tel al aprox",
    "romanian": "dl dna dr prof ing nr str art pag fig bl sc ap bd tel aprox cca",
    "russian": "ул д кв корп стр рис см табл гл ст тел акад проф пер пр им обл гр",
    "spanish": "sr sra srta srs dr dra prof d dña av avda núm nº art pág págs fig cap tel aprox",
    "swedish": "nr dr prof kap fig tab ca tel hr fr bl s:t vid",
    "turkish": "dr prof doç sn av no md sok cad mah bkz tel yrd",
    "greek": "κ κα δρ αρ σελ οδ βλ καθ τηλ",
}
# Not in Tantivy's list of languages, but often in texts that tell no other language.
_OTHER_ABBREVIATIONS = (
    "mgr inż ul al os ok tzw tj np św ks str mln tys zł mld mio mrd bn mill kr ft lb km kg pcs incl excl"
)
_BEFORE_NAME = {language: frozenset(words.split()) for language, words in _BEFORE_NAME_LINES.items()}
_ANY_ABBREVIATION = frozenset(_OTHER_ABBREVIATIONS.split()).union(*_BEFORE_NAME.values())
_LAST_WORD = re.compile(r"([^\W_][\w.:/-]*)\.[\"'”’»)]*\s*$")
_FIRST_WORD = re.compile(r"\s*[\"'“„«(]*(\w+)")
_INSIDE = ("-", ",", ";")  # what begins no sentence
_CONSONANTS = re.compile(r"[^\W\d_aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüıаеёиоуыэюяαεηιουω]{1,5}")
_ROMAN_NUMERALS = ("I", "V", "X")
_INITIALS = re.compile(r"[^\W\d_](?:[.-]+[^\W\d_])*")


def runs_on(before: str, after: str, language: str) -> bool:
    """Whether the full stop between two parts of a text ends no sentence. Other marks always end one."""
    last, first = _LAST_WORD.search(before), _FIRST_WORD.match(after)
    if last is not None and after.lstrip()[:1] in _INSIDE:
        return True
    if last is None or first is None:
        return False
    abbreviation, following = last.group(1), first.group(1)
    if following[0].isupper():
        return _is_before_name(abbreviation, following, language)
    if following[0].isdigit():
        return abbreviation.lower() in _BEFORE_NAME.get(language, ()) or _is_short(abbreviation)
    return _is_short(abbreviation) or abbreviation.isdigit() or abbreviation.lower() in _ANY_ABBREVIATION


def _is_before_name(abbreviation: str, following: str, language: str) -> bool:
    if following.lower() in FUNCTION_WORDS.get(language, ()):
        return False
    can_be_initial = language != "english" and abbreviation.isupper() and abbreviation not in _ROMAN_NUMERALS
    is_initial = can_be_initial and _INITIALS.fullmatch(abbreviation) is not None
    return is_initial or abbreviation.lower() in _BEFORE_NAME.get(language, ())


def _is_short(word: str) -> bool:
    """An initial or a few consonants, as no word is: kr, str, t.ex."""
    has_case = word.lower() != word.upper()  # Arabic and Hebrew words have no vowels
    return has_case and any(pattern.fullmatch(word.lower()) for pattern in (_CONSONANTS, _INITIALS))
