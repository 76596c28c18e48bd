"""What a bulk run ingests: a document with its name and its bytes, or the reason why there is none."""

from collections.abc import Callable
from dataclasses import dataclass

from models.filters import Attributes

MAX_DOCUMENT_BYTES = 512 * 1024**2  # the highest api.max_upload_bytes


@dataclass(frozen=True)
class SourceDocument:
    """A file, or a row of a table. `read` gets its bytes when it is its turn. `attributes` None: keep existing ones."""

    name: str
    size_bytes: int
    read: Callable[[], bytes]
    attributes: Attributes | None = None


@dataclass(frozen=True)
class UnreadableSource:
    """A file or a row that is no document, and why."""

    name: str
    reason: str


Source = SourceDocument | UnreadableSource
