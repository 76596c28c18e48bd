"""Cleans text for every parser: NFC, "\\n" as line break, no invisible characters that break search or JSON."""

import re
import unicodedata

LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
TERMINAL_COLOURS = re.compile("\x1b\\[[0-9;]*m")
# Controls, soft hyphens, zero-width spaces, byte-order marks, non-characters: readers do not see them, search does.
INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2060-\u2064\ufeff\ufffe\uffff]")
# Scripts without spaces have no overlong words, but punctuation.
IN_WORD = "[^\\s\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]"
OVERLONG_WORD = re.compile(f"(?<!{IN_WORD}){IN_WORD}{{100000,}}")
SHORTENED_CHARS = 1_000
UNSEEN_CATEGORIES = frozenset(["Cc", "Cf", "Cn", "Mn", "Me", "Zs", "Zl", "Zp"])
FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols without ink
LONE_SURROGATES = re.compile("[\ud800-\udfff]")
# UTF-8 that was read as Latin-1 and saved again: "â\x80\x93" for a dash. It has a C1 control, which text never has.
TWICE_ENCODED = re.compile("[\u00c2-\u00f4][\u0080-\u00bf]{1,3}")
C1_CONTROL = re.compile("[\u0080-\u009f]")
# Chinese, Japanese, Thai, Lao, Burmese and Khmer put no space between words. Korean does.
SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3001-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
WRAPPED = re.compile(f"(?<=[{SPACELESS}])[^\\S\n]*\n\\s*(?=[{SPACELESS}])")

# Unicode's limit (UAX 15, Stream-Safe Text Format). Normalisation is quadratic in a run: 100,000 marks took 5 s.
MAX_COMBINING_MARKS = 30
POSSIBLE_MARKS = re.compile(f"[^\x00-\u02ff\\s]{{{MAX_COMBINING_MARKS + 1},}}")


def clean(text: str) -> str:
    """The text in the form that `Document.text` requires. Time is linear in its length."""
    text = TWICE_ENCODED.sub(_decode_again, text)
    text = LINE_BREAKS.sub("\n", text)
    text = INVISIBLE.sub("", TERMINAL_COLOURS.sub("", text))
    text = LONE_SURROGATES.sub("\ufffd", text)
    return unicodedata.normalize("NFC", POSSIBLE_MARKS.sub(_limit_marks, text))


def shorten_words(text: str) -> tuple[str, int]:
    """The text with its overlong words cut, and their number: encoded files, or made to harm."""
    return OVERLONG_WORD.subn(_shorten, text)


def _shorten(match: re.Match[str]) -> str:
    beginning = match.group()[:SHORTENED_CHARS]
    return beginning + "\u2026" if is_visible(beginning) else ""


def is_visible(text: str) -> bool:
    """Whether a reader sees anything of the text: not for white space, joiners, marks without a letter and fillers."""
    return any(
        unicodedata.category(character) not in UNSEEN_CATEGORIES and character not in FILLERS for character in set(text)
    )


def one_line(text: str) -> str:
    """The text with each run of white space replaced by one space. See `join_wrapped`."""
    return " ".join(join_wrapped(text).split())


def join_wrapped(text: str) -> str:
    """The text without line breaks inside sentences of languages that put no space between words."""
    return WRAPPED.sub("", text) if "\n" in text else text


def _decode_again(match: re.Match[str]) -> str:
    if not C1_CONTROL.search(match.group()):
        return match.group()
    try:
        return match.group().encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return match.group()


def _limit_marks(match: re.Match[str]) -> str:
    limited: list[str] = []
    run = 0
    for character in match.group():
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= MAX_COMBINING_MARKS:
            limited.append(character)
    return "".join(limited)
