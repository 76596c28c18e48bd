"""The seam of parsing: a file's bytes in, a Document out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from models.documents.base import Document


class Parser(Protocol):
    """Reads one file format. Safe to call from several threads; equal content gives an equal document."""

    def recognizes(self, content: bytes) -> bool:
        """Whether the content has this format. Called unless the extension alone decides."""

    def parse(self, content: bytes, filename: str) -> Document:
        """The document in a file. Raises UnreadableDocumentError."""


@dataclass(frozen=True)
class Member:
    """A file inside another. `content` None: it was not unpacked, for the reason `omission`, a name in the plural."""

    path: str
    content: bytes | None
    omission: str = ""


@runtime_checkable
class Container(Protocol):
    """A parser of files that hold other files. Each is read by its own parser; `parse` gives only what is beside them.

    An archive inside an archive is not opened: `is_archive`.
    """

    is_archive: bool

    def members(self, content: bytes, filename: str) -> Iterator[Member]:
        """The files inside, in order. Raises UnreadableDocumentError."""
