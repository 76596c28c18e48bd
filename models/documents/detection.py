"""Detects the encoding of text that is not Unicode and declares nothing.

chardet scores each encoding by the letters that stand side by side in its languages. A name, a price or a line of CSV
has few of them, so what is known about writing decides between close scores.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from itertools import pairwise

import chardet

# Encodings of chardet -> Python's codecs, the first that reads the file. No DOS or Macintosh encodings but Russian's:
# in short texts they win too often.
CODECS: dict[str, tuple[str, ...]] = {
    **{f"Windows-{number}": (f"cp{number}",) for number in range(1250, 1259)},
    **{"cp1258": ("cp1258",), "CP874": ("cp874",), "IBM866": ("cp866",), "KOI8-R": ("koi8_r",), "koi8-u": ("koi8_u",)},
    **{"CP932": ("cp932",), "EUC-JP": ("euc_jp", "euc_jis_2004"), "CP949": ("cp949",)},
    **{"GB18030": ("gb18030",), "Big5": ("cp950", "big5hkscs")},
    **{"ISO-8859-2": ("iso8859_2",), "ISO-8859-5": ("iso8859_5",)},
}
INCLUDED = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "cp866"),
    *("koi8-r", "koi8-u", "iso8859-2", "iso8859-5", "cp932", "euc-jp", "cp949", "gb18030", "big5hkscs"),
)
CJK = frozenset(["CP932", "EUC-JP", "CP949", "GB18030", "Big5"])
# How much more common an encoding is than its score says.
PRIORS = {
    "Windows-1252": 1.5,
    "CP932": 2.0,
    "IBM866": 0.3,
    "koi8-u": 0.8,
    "cp1258": 0.5,
    "ISO-8859-2": 0.9,
    "ISO-8859-5": 0.5,
}
WESTERN = frozenset(["Windows-1252", "Windows-1254"])  # six letters tell them apart
MIN_CJK_SCORE = 0.015  # two kanji alone have 0.027, a quotation mark and a letter 0.006
MIN_SURE_CJK_SCORE = 0.025  # German in an encoding of DOS has 0.021
UNSURE_RATIO = 0.7  # of the second score to the best
MAX_SAMPLE_BYTES = 200_000  # chardet reads no more either
MAX_LETTERS_MIXED = 0.1  # of the letters of that alphabet

NON_ASCII = re.compile(rb"[\x80-\xff]")
# Where all Windows code pages of Europe agree: euro, dots, dashes, quotation marks, paragraph, copyright, degree.
PUNCTUATION_ALONE = re.compile(
    rb"[\x00-\x80\x82\x84-\x87\x89\x8b\x91-\x97\x99\x9b\xa0\xa4\xa7\xa9\xab\xae\xb0\xb1\xb5\xb7\xbb]*"
)
TURKISH = re.compile(rb"[\xd0\xdd\xde\xf0\xfd\xfe]")  # Ğİ Ş ğış in cp1254, ÐÝÞðýþ in cp1252
ICELANDIC = re.compile(rb"[\xc1\xc6\xcd\xd3\xda\xe1\xe6\xed\xf3\xfa]")  # Á Æ Í Ó Ú: Turkish has none of them
CONTROLS = re.compile("[\x80-\x9f\ue000-\uf8ff\ufffd]")
# A word with Latin letters beside those of another alphabet: no language writes so.
OTHER_ALPHABET = re.compile("[\u0370-\u1fff]")
LATIN = re.compile("[A-Za-z]")
MIN_SURE_LETTERS = 6  # of another alphabet
MIXED = re.compile("[A-Za-z\u00c0-\u024f][\u0370-\u1fff]|[\u0370-\u1fff][A-Za-z\u00c0-\u024f]")
MAX_PLAUSIBILITY_CHARS = 20_000
MIN_JUDGED = 30  # characters, or pairs of letters
MAX_SYMBOLS = 0.3  # of the characters outside ASCII: lines of boxes, fractions, accents without a letter
MAX_CAPITALS_INSIDE = 0.12  # of the pairs of letters outside ASCII
SYMBOLS = frozenset(["So", "Sm", "Sk", "No", "Cn"])
COMMON_SYMBOLS = frozenset("©®°±™")


@dataclass(frozen=True)
class Detected:
    """A text and the codec that read it. `is_sure`: no other encoding fits nearly as well."""

    text: str
    codec: str
    is_sure: bool


def detect(content: bytes) -> Detected | None:
    """The text of bytes in an unknown encoding, or None if no encoding fits."""
    scores = _scores(content[:MAX_SAMPLE_BYTES])
    is_cjk = bool(scores) and scores[0][1] in CJK and scores[0][0] >= MIN_CJK_SCORE
    if not is_cjk and PUNCTUATION_ALONE.fullmatch(content):
        return _read(content, _western(content), is_sure=True)
    for number, (score, name) in enumerate(scores):
        rivals = [other for its_score, other in scores[number + 1 :] if its_score >= UNSURE_RATIO * score]
        if name in WESTERN:
            return _read(content, _western(content), is_sure=WESTERN.issuperset(rivals))
        for codec in CODECS[name]:
            detected = _read(content, codec, is_sure=True)
            if detected is not None:
                is_likely = score >= MIN_SURE_CJK_SCORE if name in CJK else not _is_sprinkled(detected.text)
                is_sure = is_likely and all(_reads_the_same(content, detected, other) for other in rivals)
                return replace(detected, is_sure=is_sure)
    return None


def _is_sprinkled(text: str) -> bool:
    """Whether few letters of another alphabet stand in a Latin text: broken bytes look like that too."""
    text = text[:MAX_SAMPLE_BYTES]
    num_foreign = len(OTHER_ALPHABET.findall(text))
    return 0 < num_foreign < MIN_SURE_LETTERS and 2 * num_foreign < len(LATIN.findall(text))


def _reads_the_same(content: bytes, detected: Detected, name: str) -> bool:
    sample = content[:MAX_SAMPLE_BYTES]
    return sample.decode(CODECS[name][0], errors="replace") == sample.decode(detected.codec, errors="replace")


def _scores(sample: bytes) -> list[tuple[float, str]]:
    """The encodings that may fit, the best first."""
    scores: list[tuple[float, str]] = []
    for candidate in chardet.detect_all(sample, ignore_threshold=True, include_encodings=INCLUDED):
        name, confidence = candidate["encoding"], candidate["confidence"]
        if name in CODECS and not _is_implausible(sample, name):
            scores.append((confidence * PRIORS.get(name, 1.0), name))
    return sorted(scores, reverse=True)


def _is_implausible(sample: bytes, name: str) -> bool:
    """Whether the text would have controls, words of two alphabets, many symbols, or capitals inside words."""
    text = sample.decode(CODECS[name][-1], errors="replace")
    num_controls = len(CONTROLS.findall(text))
    if name in CJK:
        return num_controls > len(text) // 1_000
    if num_controls > 1 + len(text) // 1_000:
        return True
    num_letters = len(OTHER_ALPHABET.findall(text))
    return len(MIXED.findall(text)) > MAX_LETTERS_MIXED * num_letters > 0 or _is_noise(text[:MAX_PLAUSIBILITY_CHARS])


def _is_noise(text: str) -> bool:
    foreign = [character for character in text if character > "\x7f"]
    num_symbols = sum(
        unicodedata.category(character) in SYMBOLS for character in foreign if character not in COMMON_SYMBOLS
    )
    pairs = [
        (left, right) for left, right in pairwise(text) if left > "\x7f" < right and left.isalpha() and right.isalpha()
    ]
    num_capitals = sum(left.islower() and right.isupper() for left, right in pairs)
    return (len(foreign) >= MIN_JUDGED and num_symbols > MAX_SYMBOLS * len(foreign)) or (
        len(pairs) >= MIN_JUDGED and num_capitals > MAX_CAPITALS_INSIDE * len(pairs)
    )


def _western(content: bytes) -> str:
    """The one of the encodings of Western Europe and Turkish: they differ in six letters."""
    if TURKISH.search(content) and not ICELANDIC.search(content):
        return "cp1254"
    has_windows_characters = re.search(rb"[\x80-\x9f]", content)
    return "iso8859_15" if b"\xa4" in content and not has_windows_characters else "cp1252"


def _read(content: bytes, codec: str, is_sure: bool) -> Detected | None:
    try:
        return Detected(content.decode(codec), codec, is_sure)
    except UnicodeDecodeError as error:
        if error.start < MAX_SAMPLE_BYTES:
            return None
        return Detected(content.decode(codec, errors="replace"), codec, is_sure=False)
