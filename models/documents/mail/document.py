"""A mail as a document: who wrote to whom, when, and the text."""

from collections.abc import Iterator
from email.message import Message

from models.documents.base import Document
from models.documents.builder import DocumentBuilder
from models.documents.mail.body import append_body
from models.documents.mail.fields import field_text, head_lines
from models.documents.mail.parts import attached_files, split_parts
from models.documents.parsers.base import Member

INLINE_IMAGES = "images"


def mail_document(message: Message, filename: str) -> Document:
    """The subject as heading, the fields that a reader sees, and the text."""
    parts = split_parts(message)
    builder = DocumentBuilder()
    builder.add("heading", field_text(message, "Subject"), 1)
    builder.add("paragraph", head_lines(message))
    for entity in parts.bodies:
        append_body(entity, builder, filename)
    builder.omit(INLINE_IMAGES, parts.num_images)
    return builder.build()


def mail_members(message: Message) -> Iterator[Member]:
    """The attachments."""
    for name, attached in attached_files(split_parts(message)):
        yield Member(name, attached)
