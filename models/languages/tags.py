"""The BCP 47 tag of a question's language, as far as its script and its words tell it."""

from models.languages.detection import language_of
from models.languages.file_language import CODES, by_script
from models.languages.interrogatives import tag_of_question

DEFAULT_TAG = "en"
MAX_CHARS = 400  # more does not change the answer
MIN_SHARE = 0.25  # of the letters: a sign of such a script says as much as three Latin letters


def language_tag(text: str) -> str:
    """The primary tag of the text's language; DEFAULT_TAG if it is unknown."""
    beginning = text[:MAX_CHARS]
    by_letters = by_script(beginning, sum(map(str.isalpha, beginning)), MIN_SHARE)
    return by_letters or tag_of_question(beginning) or CODES.get(language_of(beginning), DEFAULT_TAG)
