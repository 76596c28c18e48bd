"""Outlook messages (.msg), read as mails are."""

from collections.abc import Iterator
from email.message import Message

from models.documents.base import Document
from models.documents.mail.document import mail_document, mail_members
from models.documents.mail.outlook import OutlookError, read_outlook
from models.documents.options import NoOptions
from models.documents.parsers.base import Member
from models.documents.signatures import OUTLOOK, signature_of
from models.errors.requests import UnreadableDocumentError


class OutlookParser:
    """A Parser and Container of kind `outlook`."""

    config_class = NoOptions
    is_archive = False

    def __init__(self, name: str, config: NoOptions) -> None:
        """Nothing to load."""

    def recognizes(self, content: bytes) -> bool:
        return signature_of(content) is OUTLOOK

    def parse(self, content: bytes, filename: str) -> Document:
        """The subject as heading, the fields that a reader sees, and the text."""
        return mail_document(_read(content, filename), filename)

    def members(self, content: bytes, filename: str) -> Iterator[Member]:
        """The attachments, and attached messages as mails."""
        return mail_members(_read(content, filename))


def _read(content: bytes, filename: str) -> Message:
    try:
        return read_outlook(content)
    except OutlookError as error:
        detail = f"not a readable Outlook message ({error}), or cut short; save it again, or as .eml"
        raise UnreadableDocumentError(filename, "invalid_file", detail) from error
