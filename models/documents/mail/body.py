"""The text of a mail: plain, flowed or a page."""

import re
from email.message import Message

from models.documents.builder import DocumentBuilder
from models.documents.encoding import decode_as
from models.documents.html_blocks import append_html
from models.documents.mail.parts import part_bytes
from models.documents.text import clean
from models.errors.requests import UnreadableDocumentError

ENCODED = "encoded files"
UUENCODED_BEGIN = re.compile(r"begin [0-7]{3,4} \S")
UUENCODED_LINE = re.compile(r"[!-`][ -`]{0,61}$")
BASE64_LINES = re.compile(r"(?:^[A-Za-z0-9+/]{60,}={0,2}[ \t]*\n){4,}+(?:[A-Za-z0-9+/]+={0,2}[ \t]*$)?", re.MULTILINE)
LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]")
SIGNATURE_MARK = "-- "


def append_body(entity: Message, builder: DocumentBuilder, filename: str) -> None:
    """Add the blocks of a text part. Base64 in it, such as a key or a file, is left out and counted."""
    try:
        read = decode_as(part_bytes(entity), entity.get_content_charset("") or "", filename)
    except UnreadableDocumentError:  # this part alone
        builder.omit("parts of binary content")
        return
    builder.doubt = builder.doubt or read.doubt
    if entity.get_content_type() == "text/html":
        append_html(read.text, builder, filename)
        return
    text = clean(read.text)
    if (entity.get_param("format") or "") == "flowed":
        text = _unflowed(text)
    _append_plain(text, builder)


def _append_plain(text: str, builder: DocumentBuilder) -> None:
    text, num_uuencoded = _without_uuencoded(text)
    text, num_base64 = BASE64_LINES.subn("", text + "\n")
    builder.omit(ENCODED, num_uuencoded + num_base64)
    for group in re.split(r"\n[ \t]*\n", text):
        if group.strip():
            builder.add("list_item" if LIST_ITEM.match(group.strip("\n")) else "paragraph", group)


def _without_uuencoded(text: str) -> tuple[str, int]:
    """The text without files from `begin 644 name` to `end`, and their number. Each line is looked at once."""
    written: list[str] = []
    encoded: list[str] | None = None  # the lines of a file that may still turn out to be text
    num_files = 0
    for line in text.split("\n"):
        if encoded is None and not UUENCODED_BEGIN.match(line):
            written.append(line)
        elif encoded is None:
            encoded = [line]
        elif line == "end":
            encoded, num_files = None, num_files + 1
        elif UUENCODED_LINE.match(line):
            encoded.append(line)
        else:
            written.extend([*encoded, line])
            encoded = None
    return "\n".join([*written, *(encoded or [])]), num_files


def _unflowed(text: str) -> str:
    """Lines that end with a space go on in the next line (RFC 3676)."""
    pieces: list[str] = []
    for line in text.split("\n"):
        line = line[1:] if line.startswith(" ") else line
        is_open = line.endswith(" ") and line != SIGNATURE_MARK
        pieces.append(line if is_open else line + "\n")
    return "".join(pieces)
