"""Words of scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese; and Korean.

Such a run of letters is searched by its pairs of neighbouring letters, as Lucene's CJKAnalyzer does. Korean has spaces,
but its words carry their particles. In Thai and its like a letter is a consonant with its vowel signs and tone marks.
"""

import re
from itertools import pairwise

_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
_CJK = f"\u3005-\u3007{_KANA}\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_CLUSTERED = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e80-\u0ecd\u1000-\u1049\u1050-\u109f\u1780-\u17d3"
_MARKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"
    "\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u17b4-\u17d3"
)
# Tone marks and viramas are no letters to a tokenizer, so a letter of an unused alphabet stands for each.
_THAI_TONES, _KHMER_SIGNS = range(0x0E47, 0x0E4F), range(0x17C9, 0x17D4)
_TONES = (0x0E3A, *_THAI_TONES, 0x0EBA, *range(0x0EC8, 0x0ECE), 0x1037, 0x1039, 0x103A, *_KHMER_SIGNS)
_AS_LETTERS = {tone: chr(0xA4D0 + number) for number, tone in enumerate(_TONES)}
_RUN = re.compile(f"[{_CJK}{_CLUSTERED}]+")
# A Thai or Lao vowel that is written first belongs to the consonant after it.
_LETTER = re.compile(f"[{_CJK}]|[\u0e40-\u0e44\u0ec0-\u0ec4]?[^{_CJK}{_MARKS}][{_MARKS}]*|.")
_SYLLABLE = re.compile(f"[^\u3005-\u30ff{_CLUSTERED}]")  # an ideograph, or a Korean syllable: often a word
# Pairs of these say how a sentence is built: hiragana, and the function words of Chinese.
_FUNCTION_PAIR = re.compile(
    "[\u3041-\u309f的了是在有和与與吗嗎呢什么麼怎多少几幾哪谁誰我你您他她它们們这這那个個不也都就很请請问問为為]+"
)


def has_unspaced(text: str) -> bool:
    return _RUN.search(text) is not None


def without_unspaced(text: str) -> str:
    """Replace each run of such letters by a space."""
    return _RUN.sub(" ", text)


def pairs(text: str, with_single: bool = False) -> list[str]:
    """Return the pairs of neighbouring letters of all runs, in order. A run of one letter is returned as it is.

    `with_single` adds each ideograph, so that a question with a single one finds it in longer runs.
    """
    terms: list[str] = []
    for run in _RUN.findall(text):
        letters = _LETTER.findall(run)
        if len(letters) == 1:
            terms += letters
            continue
        terms += map("".join, pairwise(letters))
        if with_single:
            terms += filter(_SYLLABLE.match, letters)
    return [term.translate(_AS_LETTERS) for term in terms]


def num_letters(text: str) -> int:
    """The number of letters of such scripts in a text, each with its signs."""
    return sum(len(_LETTER.findall(run)) for run in _RUN.findall(text))


def spaced(text: str) -> str:
    """Write each run as its pairs, with spaces around them."""
    return _RUN.sub(lambda run: f" {' '.join(pairs(run.group()))} ", text)


def is_function_pair(pair: str) -> bool:
    """Whether a pair is of function words alone, such as 有多 or です."""
    return _FUNCTION_PAIR.fullmatch(pair) is not None
