"""The seam of parsing: a file's bytes in, a Document out."""

from typing import Protocol

from models.documents.base import Document


class Parser(Protocol):
    """Reads one file format. Safe to call from several threads; equal content gives an equal document."""

    def recognizes(self, content: bytes) -> bool:
        """Whether the content has this format. Called for files whose extension no catalog entry names."""

    def parse(self, content: bytes, filename: str) -> Document:
        """The document in a file. Raises UnreadableDocumentError."""
