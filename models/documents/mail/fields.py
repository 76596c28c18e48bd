"""The fields of a mail's head, decoded: =?utf-8?q?Gr=C3=BC=C3=9Fe?= is Grüße."""

from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime

from models.documents.text import one_line

SHOWN_FIELDS = ("From", "To", "Cc", "Date")
MAX_FIELD_CHARS = 10_000  # a mail may have thousands of receivers


def field_text(message: Message, name: str) -> str:
    """A field on one line; "" if there is none."""
    value = message.get(name)
    return "" if value is None else decoded(str(value)[:MAX_FIELD_CHARS])


def decoded(value: str) -> str:
    """The text of encoded words. What cannot be decoded stays as it is."""
    try:
        pieces = decode_header(value)
        return one_line("".join(_piece(piece, charset) for piece, charset in pieces))
    except (HeaderParseError, LookupError, ValueError):
        return one_line(value)


def _piece(piece: bytes | str, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    try:
        return piece.decode(charset or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return piece.decode("cp1252", errors="replace")


def head_lines(message: Message) -> str:
    """Who wrote to whom, and when: a line a field."""
    values = ((name, _date(message) if name == "Date" else field_text(message, name)) for name in SHOWN_FIELDS)
    return "\n".join(f"{name}: {value}" for name, value in values if value)


def _date(message: Message) -> str:
    """The date as ISO writes it, with the sender's time zone."""
    text = field_text(message, "Date")
    try:
        return parsedate_to_datetime(text).isoformat(" ", "minutes")
    except (ValueError, TypeError, IndexError, OverflowError):
        return text
