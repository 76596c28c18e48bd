"""The attributes that are derived from a file's text: its language, title, dates and keywords."""

from models.documents.base import Document
from models.documents.chunkers.contextual_headers import title_of
from models.documents.derived.dates import dates_in
from models.documents.derived.keywords import keywords_of
from models.documents.text import one_line
from models.enrichment.options import Enrichment
from models.filters import AttributeValue
from models.languages.file_language import file_language

# Names of the caller's own have no dot after `auto`; if they do, the caller's value counts.
PREFIX = "auto."
KEYWORD = f"{PREFIX}keyword."  # and the keyword itself: a filter cannot look into a list
MAX_VALUE_CHARS = 512  # OpenAI's limit of an attribute
MAX_KEY_CHARS = 64
MAX_DATED_CHARS = 1_000_000


def derive(document: Document, enrichment: Enrichment) -> dict[str, AttributeValue]:
    """The attributes that a store asks for. One that the text does not tell is left out."""
    language = file_language(document.text)
    attributes: dict[str, AttributeValue] = {}
    if enrichment.language and language:
        attributes[f"{PREFIX}language"] = language
    if enrichment.title and (title := one_line(title_of(document))):
        attributes[f"{PREFIX}title"] = _bounded(title)
    if enrichment.dates:
        attributes |= _dates(document, language)
    if enrichment.max_keywords:
        attributes |= _keywords(document, enrichment.max_keywords, language)
    return attributes


def _dates(document: Document, language: str) -> dict[str, AttributeValue]:
    """ISO 8601, so that filters compare them as strings."""
    text = f"{document.title}\n{document.text[:MAX_DATED_CHARS]}"
    days = [day.isoformat() for day in dates_in(text, language)]
    if not days:
        return {}
    listed = _bounded(", ".join(days))
    return {
        f"{PREFIX}date": days[0],
        f"{PREFIX}first_date": min(days),
        f"{PREFIX}last_date": max(days),
        f"{PREFIX}dates": listed,
    }


def _keywords(document: Document, max_keywords: int, language: str) -> dict[str, AttributeValue]:
    keywords = keywords_of(f"{document.title}\n\n{document.text}", max_keywords, language)
    if not keywords:
        return {}
    listed: dict[str, AttributeValue] = {f"{PREFIX}keywords": _bounded(", ".join(keywords))}
    return listed | {f"{KEYWORD}{keyword}"[:MAX_KEY_CHARS]: True for keyword in keywords}


def _bounded(value: str) -> str:
    return value if len(value) <= MAX_VALUE_CHARS else f"{value[: MAX_VALUE_CHARS - 1].rstrip()}…"
