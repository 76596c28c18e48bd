"""The parts of a mail: its text, and what is attached."""

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from models.documents.mail.fields import decoded, field_text
from models.errors.requests import UnreadableDocumentError

MAX_PARTS = 500
MAX_PATH_CHARS = 200


@dataclass
class MailParts:
    """`bodies` are text parts to show, in order. `attachments` are read by their own parsers. `num_images`: inline."""

    bodies: list[Message] = field(default_factory=list)
    attachments: list[Message] = field(default_factory=list)
    num_images: int = 0


def read_message(content: bytes, filename: str) -> Message:
    """The mail. Raises UnreadableDocumentError for more parts than any mail has."""
    # Each part inside a part is matched against each line.
    if content.lower().count(b"boundary=") > MAX_PARTS:
        detail = f"more than {MAX_PARTS:,} parts inside parts; save the attachments as files"
        raise UnreadableDocumentError(filename, "invalid_file", detail)
    return message_from_bytes(content)


def split_parts(message: Message) -> MailParts:
    """The parts to show and to read. Of alternatives, the plain text is shown if it has any."""
    parts = MailParts()
    stack = [message]
    while stack:
        entity = stack.pop()
        kind = entity.get_content_type()
        if kind == "multipart/alternative":
            stack.extend(_best(_children(entity)))
        elif entity.is_multipart() and kind != "message/rfc822":
            stack.extend(reversed(_children(entity)))
        else:
            _place(entity, kind, parts)
    return parts


def _place(entity: Message, kind: str, parts: MailParts) -> None:
    is_attached = entity.get_content_disposition() == "attachment" or bool(entity.get_filename())
    if kind in ("text/plain", "text/html") and not is_attached:
        parts.bodies.append(entity)
    elif kind.startswith("image/") and entity.get_content_disposition() != "attachment":
        parts.num_images += 1
    elif not kind.startswith("multipart/"):
        parts.attachments.append(entity)


def _best(alternatives: list[Message]) -> list[Message]:
    """The plain text if it says anything, else the last alternative, which is the richest."""
    for entity in alternatives:
        if entity.get_content_type() == "text/plain" and part_bytes(entity).strip():
            return [entity]
    return alternatives[-1:]


def _children(entity: Message) -> list[Message]:
    payload = entity.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def part_bytes(entity: Message) -> bytes:
    """The content of a part, without base64 and the like. A mail inside a mail is written out again."""
    if entity.get_content_type() == "message/rfc822":
        return b"\n".join(child.as_bytes() for child in _children(entity))
    payload = entity.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def attached_files(parts: MailParts) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each attachment. One without a name gets one by its type."""
    for number, entity in enumerate(parts.attachments, 1):
        yield _name(entity, number), part_bytes(entity)


def _name(entity: Message, number: int) -> str:
    if entity.get_content_type() == "message/rfc822":
        subject = field_text(_children(entity)[0], "Subject") if _children(entity) else ""
        return f"{subject[:MAX_PATH_CHARS] or f'mail {number}'}.eml"
    name = decoded(entity.get_filename() or "").replace("\\", "/").rpartition("/")[2][-MAX_PATH_CHARS:]
    return name or f"attachment {number}{mimetypes.guess_extension(entity.get_content_type()) or ''}"
