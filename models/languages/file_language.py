"""Tell the language of a whole file as an ISO 639-1 code, or say that nothing tells it.

Parts of the file vote. Each is told by its script, by `language_of`, and by the function words and letters of further
languages, which no stemmer knows. A part without a function word, such as a table of numbers, has no vote.
"""

import re
from collections import Counter

from models.languages.detection import ENGLISH, MAX_CHARS, language_of
from models.languages.function_words import FUNCTION_WORDS
from models.languages.normal_form import normal_form
from models.languages.stop_words import ENGLISH as ENGLISH_WORDS

NUM_PARTS = 40
MIN_FUNCTION_WORDS = 0.08  # of a part's words, or it has no vote; of prose it is a third to a half
MIN_COUNT = 2  # z is a word of Polish, and of formulas
MIN_LETTERS = 0.3  # of a part's letters and digits

CODES = {
    "english": "en",
    "danish": "da",
    "dutch": "nl",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "hungarian": "hu",
    "italian": "it",
    "norwegian": "no",
    "portuguese": "pt",
    "romanian": "ro",
    "spanish": "es",
    "swedish": "sv",
    "turkish": "tr",
    "greek": "el",
    "russian": "ru",
    "arabic": "ar",
    "tamil": "ta",
}
# The first whose letters are the most. Japanese has ideographs too, so kana decide.
_SCRIPTS = {
    "ja": re.compile("[\u3041-\u30ff]"),
    "zh": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
    "ko": re.compile("[\uac00-\ud7af]"),
    "th": re.compile("[\u0e01-\u0e4e]"),
    "lo": re.compile("[\u0e80-\u0edf]"),
    "my": re.compile("[\u1000-\u109f]"),
    "km": re.compile("[\u1780-\u17d3]"),
    "he": re.compile("[\u05d0-\u05ea]"),
    "hi": re.compile("[\u0900-\u097f]"),
    "bn": re.compile("[\u0980-\u09ff]"),
    "te": re.compile("[\u0c00-\u0c7f]"),
    "ka": re.compile("[\u10d0-\u10ff]"),
    "hy": re.compile("[\u0531-\u0587]"),
    "am": re.compile("[\u1200-\u137f]"),
}
MIN_KANA = 0.05  # of the letters; Chinese texts have none
# Of languages that share their script with a language above: letters that only they have, and function words.
_LETTERS = {
    "uk": re.compile("[іїєґ]"),
    "be": re.compile("[ў]"),
    "sr": re.compile("[\u0452\u045b\u0459\u045a\u045f\u0458]"),
    "fa": re.compile("[پچژگ]"),
    "ur": re.compile("[ٹڈڑےں]"),
    "pl": re.compile("[ąęłśźżćń]"),
    "cs": re.compile("[ěřů]"),
    "vi": re.compile("[ạảấầẩẫậắằẳẵặẹẻẽếềểễệịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđơư]"),
    "lt": re.compile("[ėįų]"),
    "lv": re.compile("[āēīūķļņģ]"),
}
MIN_OWN_LETTERS = 0.015  # of a part's letters
MAX_STEMMED = 0.2  # words of function of another language, such as of an English text with Polish names
_WORDS = {
    "bg": "и на е за се от да не са по че като със при които това той беше може който",
    "uk": "і та на що не для з як до це від або його бути був які який при",
    "pl": "i w na z się do nie że to jest o od po za dla jak przez oraz są był który które",
    "cs": "a v na se je že z s do o k pro jako by jsou od po nebo které který však jeho byl",
    "sk": "a v na sa je že z s do o k pre ako by sú od po alebo ktoré ktorý však jeho bol",
    "hr": "i u na je se da za su od s kao koji koja koje te ili biti bio nije što",
    "sl": "in v na je se da za so od z kot ki ali biti bil ni kar pri tudi",
    "lt": "ir yra kad su iš į tai kaip buvo jo bei ar ne per dėl",
    "lv": "un ir ar no uz par kas tika kā bet vai pie pēc arī",
    "et": "ja on ei et see ta oli kui aga ka mis ning või oma",
    "ca": "i de la que el a en els les per amb un una és dels del no com més són",
    "id": "yang dan di dari untuk dengan ini itu pada dalam adalah tidak akan atau oleh",
    "vi": "và của là các có được trong cho không một với những đã người này",
}
_FUNCTION_WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
_NAMES = {code: name for name, code in CODES.items()}
_STEMMED = {ENGLISH: frozenset(ENGLISH_WORDS), **FUNCTION_WORDS}
_ALPHABETS = frozenset(["russian", "greek", "arabic", "tamil"])
_WORD = re.compile(r"[^\W\d_]+")


def file_language(text: str) -> str:
    """The code of the language that most parts of a text are in; empty if nothing tells it.

    Time does not depend on the length of the text.
    """
    votes: Counter[str] = Counter()
    for sample in _samples(text):
        if language := _language_of_sample(normal_form(sample).lower()):
            votes[language] += 1
    return max(votes, key=lambda language: votes[language]) if votes else ""


def function_words(language: str) -> frozenset[str]:
    """The words of function of a language by its code; empty for a language without a list."""
    return _FUNCTION_WORDS.get(language) or _STEMMED.get(_NAMES.get(language, ""), frozenset())


def by_script(text: str, num_letters: int, min_share: float = 0.5) -> str:
    """The code of the language whose script alone tells it, with more than this share of the letters; else empty."""
    if text.isascii():
        return ""
    counts = {language: len(pattern.findall(text)) for language, pattern in _SCRIPTS.items()}
    if counts["ja"] >= MIN_KANA * num_letters and counts["ja"] + counts["zh"] > min_share * num_letters:
        return "ja"
    language = max(counts, key=lambda name: counts[name])
    return language if counts[language] > min_share * num_letters else ""


def _samples(text: str) -> list[str]:
    step = max(MAX_CHARS, len(text) // NUM_PARTS)
    return [text[start : start + MAX_CHARS] for start in range(0, len(text), step)]


def _language_of_sample(sample: str) -> str:
    words = _WORD.findall(sample)
    num_letters = sum(map(len, words))
    if not words or num_letters < MIN_LETTERS * sum(map(str.isalnum, sample)):
        return ""
    return by_script(sample, num_letters) or _by_words(sample, words, num_letters)


def _by_words(sample: str, words: list[str], num_letters: int) -> str:
    name = language_of(sample)
    if name in _ALPHABETS:
        return _own_letters(sample, num_letters) or _bulgarian(words) or CODES[name]
    share = _share(words, _STEMMED.get(name, frozenset()))
    further = max(_FUNCTION_WORDS, key=lambda language: _share(words, _FUNCTION_WORDS[language]))
    by_letters = _own_letters(sample, num_letters)
    if by_letters in _FUNCTION_WORDS and share < MAX_STEMMED:
        return by_letters
    if _share(words, _FUNCTION_WORDS[further]) > max(share, MIN_FUNCTION_WORDS):
        return further
    return CODES.get(name, "") if share >= MIN_FUNCTION_WORDS else ""


def _own_letters(sample: str, num_letters: int) -> str:
    if sample.isascii():
        return ""
    counts = {language: len(pattern.findall(sample)) for language, pattern in _LETTERS.items()}
    language = max(counts, key=lambda name: counts[name])
    return language if counts[language] >= MIN_OWN_LETTERS * num_letters else ""


def _bulgarian(words: list[str]) -> str:
    """Bulgarian has no letters of its own. Its function words are not those of Russian."""
    is_bulgarian = _share(words, _FUNCTION_WORDS["bg"]) > 0.2 and "".join(words).count("ы") == 0
    return "bg" if is_bulgarian else ""


def _share(words: list[str], function_words: frozenset[str]) -> float:
    """Of the words; 0 for too few words."""
    count = sum(map(function_words.__contains__, words))
    return count / len(words) if count >= MIN_COUNT else 0.0
