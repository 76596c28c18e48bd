"""Outlook messages (.msg) as mails: the properties of the message, its text, and what is attached.

A message is a small file system (OLE), whose streams are properties: __substg1.0_0037001F is the subject (0037) in
UTF-16 (001F). Numbers and dates stand in __properties_version1.0. Source: MS-OXMSG, MS-OXPROPS.
"""

import base64
import codecs
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import HeaderParser

import olefile

from models.documents.mail.compressed_rtf import decompress
from models.documents.mail.parts import MAX_PATH_CHARS

SUBJECT, BODY, HTML, RTF, HEADERS = 0x0037, 0x1000, 0x1013, 0x1009, 0x007D
SENDER_NAME, SENDER_ADDRESS, SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
TO, CC, SENT, RECEIVED = 0x0E04, 0x0E03, 0x0039, 0x0E06
CODE_PAGE, BODY_CODE_PAGE = 0x3FFD, 0x3FDE
DATA, METHOD, LONG_NAME, SHORT_NAME, SHOWN_NAME, MIME_TYPE = 0x3701, 0x3705, 0x3707, 0x3704, 0x3001, 0x370E
CONTENT_ID, IS_HIDDEN = 0x3712, 0x7FFE
UNICODE, STRING8, BINARY = 0x001F, 0x001E, 0x0102
EMBEDDED_MESSAGE = "__substg1.0_3701000D"
ROOT_HEAD, MESSAGE_HEAD, ATTACHMENT_HEAD = 32, 24, 8  # bytes before the properties
PROPERTY = struct.Struct("<HHIQ")  # type, property, flags, value
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
MAX_MESSAGES_INSIDE = 3  # a mail, its attached mail, and what is attached to that
MAX_EXPANSION = 4  # streams may overlap; together they have at most so many times the file's bytes
BROKEN = (OSError, ValueError, IndexError, KeyError, struct.error, OverflowError, AttributeError, TypeError)
UTF_8, UTF_16 = 65001, 1200

Path = tuple[str, ...]


class OutlookError(Exception):
    """The file is no message, or a broken one."""


def read_outlook(content: bytes) -> Message:
    """The message as a mail with text, page and attachments. Raises OutlookError."""
    try:
        with olefile.OleFileIO(content) as archive:
            return _Reader(archive, MAX_EXPANSION * len(content)).message((), ROOT_HEAD, MAX_MESSAGES_INSIDE)
    except (*BROKEN, RecursionError) as error:
        raise OutlookError(type(error).__name__) from error


@dataclass
class _Reader:
    """Reads storages of the file. `room`: bytes that streams may still have."""

    archive: olefile.OleFileIO
    room: int

    def message(self, path: Path, head_bytes: int, depth: int) -> Message:
        """The message in a storage."""
        storage = _Storage(self, path, head_bytes)
        mail = Message()
        mail["MIME-Version"] = "1.0"
        mail["Content-Type"] = "multipart/mixed"
        for name, value in _fields(storage):
            if value:
                mail[name] = value
        mail.set_payload([])
        if storage.text(BODY).strip() or storage.page or storage.rich_text:
            mail.attach(_alternatives(storage))
        for attachment in self._attachments(path):
            entity = self._attachment(attachment, depth, storage.page)
            if entity is not None:
                mail.attach(entity)
        return mail

    def stream(self, path: Path) -> bytes:
        """The content of a stream; empty if it does not exist."""
        if not self.archive.exists(list(path)):
            return b""
        content: bytes = self.archive.openstream(list(path)).read()
        self.room -= len(content)
        if self.room < 0:
            raise ValueError("streams overlap")
        return content

    def _attachments(self, path: Path) -> list[Path]:
        storages = self.archive.listdir(streams=False, storages=True)
        depth = len(path) + 1
        return sorted(
            tuple(names)
            for names in storages
            if len(names) == depth and tuple(names[:-1]) == path and names[-1].startswith("__attach_version1.0_")
        )

    def _attachment(self, path: Path, depth: int, page: bytes) -> Message | None:
        storage = _Storage(self, path, ATTACHMENT_HEAD)
        if self.archive.exists(list((*path, EMBEDDED_MESSAGE))):
            if depth <= 1:
                return None
            entity = Message()
            entity["Content-Type"] = "message/rfc822"
            entity["Content-Disposition"] = "attachment"
            entity.set_payload([self.message((*path, EMBEDDED_MESSAGE), MESSAGE_HEAD, depth - 1)])
            return entity
        name = storage.text(LONG_NAME) or storage.text(SHORT_NAME) or storage.text(SHOWN_NAME)
        content_id = storage.text(CONTENT_ID)
        is_shown = bool(content_id) and f"cid:{content_id}".encode() in page
        is_inline = is_shown or bool(storage.numbers.get(IS_HIDDEN))
        entity = Message()
        entity["Content-Type"] = _mime_type(storage.text(MIME_TYPE))
        entity.add_header(
            "Content-Disposition", "inline" if is_inline else "attachment", filename=name[-MAX_PATH_CHARS:]
        )
        _fill(entity, storage.binary(DATA))
        return entity


class _Storage:
    """The properties of a message or an attachment."""

    def __init__(self, reader: _Reader, path: Path, head_bytes: int) -> None:
        self._reader, self._path = reader, path
        properties = reader.stream((*path, "__properties_version1.0"))[head_bytes:]
        whole = properties[: len(properties) - len(properties) % PROPERTY.size]
        self.numbers = {number: value for _, number, _, value in PROPERTY.iter_unpack(whole)}

    @property
    def page(self) -> bytes:
        """The HTML of the message, in the code page of the body."""
        return self.binary(HTML) or self.text(HTML).encode(self.codec, errors="replace")

    @property
    def rich_text(self) -> bytes:
        return decompress(self.binary(RTF))

    @property
    def codec(self) -> str:
        return _codec(self.numbers.get(BODY_CODE_PAGE) or self.numbers.get(CODE_PAGE) or 0)

    def text(self, number: int) -> str:
        """A property of characters; "" without it."""
        unicode = self._stream(number, UNICODE)
        if unicode:
            return unicode.decode("utf-16-le", errors="replace").rstrip("\0")
        codec = self.codec if number == BODY else _codec(self.numbers.get(CODE_PAGE) or 0)
        return self._stream(number, STRING8).decode(codec, errors="replace").rstrip("\0")

    def binary(self, number: int) -> bytes:
        return self._stream(number, BINARY)

    def date(self, number: int) -> str:
        """A date as mails write it; "" without it."""
        ticks = self.numbers.get(number, 0)  # 100 ns
        try:
            return (EPOCH + timedelta(microseconds=ticks // 10)).strftime("%d %b %Y %H:%M:%S +0000") if ticks else ""
        except OverflowError:
            return ""

    def _stream(self, number: int, kind: int) -> bytes:
        return self._reader.stream((*self._path, f"__substg1.0_{number:04X}{kind:04X}"))


def _fields(storage: _Storage) -> list[tuple[str, str]]:
    """The fields of the head: those that came over the network, else the properties."""
    sent = HeaderParser().parsestr(storage.text(HEADERS).lstrip())
    address = storage.text(SENDER_SMTP) or storage.text(SENDER_ADDRESS)
    name = storage.text(SENDER_NAME)
    sender = f"{name} <{address}>" if "@" in address and address != name else name or address
    return [
        ("Subject", storage.text(SUBJECT)),
        ("From", str(sent["From"] or "") or sender),
        ("To", str(sent["To"] or "") or storage.text(TO)),
        ("Cc", str(sent["Cc"] or "") or storage.text(CC)),
        ("Date", str(sent["Date"] or "") or storage.date(SENT) or storage.date(RECEIVED)),
    ]


def _alternatives(storage: _Storage) -> Message:
    """The text of the message in its forms; who reads it chooses one."""
    mail = Message()
    mail["Content-Type"] = "multipart/alternative"
    forms = [
        ("text/plain", storage.text(BODY).encode(errors="replace"), "utf-8"),
        ("text/rtf", storage.rich_text, "us-ascii"),
        ("text/html", storage.page, storage.codec),
    ]
    mail.set_payload([])
    for kind, content, codec in forms:
        if content.strip():
            entity = Message()
            entity.add_header("Content-Type", kind, charset=codec)
            _fill(entity, content)
            mail.attach(entity)
    return mail


def _fill(entity: Message, content: bytes) -> None:
    """Give a part its content. Base64, as an attached message is written out again to be read."""
    entity["Content-Transfer-Encoding"] = "base64"
    entity.set_payload(base64.encodebytes(content).decode("ascii"))


def _codec(code_page: int) -> str:
    special = {UTF_8: "utf-8", UTF_16: "utf-16-le", 20127: "ascii", 28591: "latin-1", 28605: "iso8859_15"}
    name = special.get(code_page, f"cp{code_page}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"


def _mime_type(text: str) -> str:
    return text if text.count("/") == 1 and text.isascii() and " " not in text else "application/octet-stream"
