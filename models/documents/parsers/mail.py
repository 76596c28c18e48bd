"""Mails (.eml), mailboxes (.mbox) and saved pages (.mhtml): who, when, the text, and what is attached."""

import re
from collections.abc import Iterator

from models.documents.base import Document
from models.documents.mail.document import mail_document, mail_members
from models.documents.mail.parts import read_message
from models.documents.options import NoOptions
from models.documents.parsers.base import Member
from models.documents.signatures import MAIL, signature_of

MAILBOX_LINE = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]{3,200}\d{4}\r?\n")
QUOTED_LINE = re.compile(rb"^>(>*From )", re.MULTILINE)  # a line of a mail that began with From, in a mailbox


class MailParser:
    """A Parser and Container of kind `mail`."""

    config_class = NoOptions
    is_archive = False

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is MAIL

    def parse(self, content: bytes, filename: str) -> Document:
        """The subject as heading, the fields that a reader sees, and the text. Nothing for a mailbox of many."""
        if len(_mails(content)) > 1:
            return Document("", ())
        return mail_document(read_message(_mails(content)[0], filename), filename)

    def members(self, content: bytes, filename: str) -> Iterator[Member]:
        """The attachments of a mail, or the mails of a mailbox."""
        mails = _mails(content)
        if len(mails) > 1:
            for number, mail in enumerate(mails, 1):
                yield Member(f"mail {number}.eml", mail)
            return
        yield from mail_members(read_message(mails[0], filename))


def _mails(content: bytes) -> list[bytes]:
    """The mails of a mailbox, without the lines between them; else the content itself."""
    stripped = content.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if not stripped.startswith(b"From "):
        return [stripped]
    mails = (QUOTED_LINE.sub(rb"\1", mail) for mail in MAILBOX_LINE.split(stripped))
    return [mail for mail in mails if mail.strip()] or [stripped]
