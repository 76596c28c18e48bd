"""What the corpus returns: frozen dataclasses, in the words of OpenAI's files and vector stores API."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from models.errors import InvalidRequestError
from models.types import FloatArray, KeyArray

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
Attributes = dict[str, str | float | bool]
Record = TypeVar("Record")

MAX_PAGE_LIMIT = 100  # as in OpenAI's list calls


@dataclass(frozen=True)
class File:
    """An uploaded file. `created_at` is in Unix seconds."""

    file_id: str
    tenant: str
    filename: str
    size_bytes: int
    purpose: str
    created_at: int


@dataclass(frozen=True)
class FileCounts:
    """How many of a vector store's files are in each status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True)
class VectorStore:
    """A set of files that are searched together. `last_active_at`: its last change, in Unix seconds."""

    tenant: str
    vector_store_id: str
    name: str
    created_at: int
    last_active_at: int
    usage_bytes: int
    file_counts: FileCounts


@dataclass(frozen=True)
class Chunking:
    """How to cut a file, in tokens of the embedding model."""

    max_tokens: int
    overlap_tokens: int


@dataclass(frozen=True)
class StoreFile:
    """A file in a vector store. `chunking` None means auto; `usage_bytes` counts its chunks' texts and vectors."""

    file_id: str
    vector_store_id: str
    status: FileStatus
    created_at: int
    usage_bytes: int
    last_error_code: str | None
    last_error_message: str | None
    chunking: Chunking | None
    attributes: Attributes


@dataclass(frozen=True)
class AttachmentId:
    """Names one file in one vector store of one tenant."""

    tenant: str
    vector_store_id: str
    file_id: str


@dataclass(frozen=True)
class Job:
    """A claimed piece of ingestion, held until its lease expires. `attempt` counts from 1."""

    job_id: int
    owner: str
    attempt: int
    tenant: str
    vector_store_id: str
    file_id: str
    filename: str
    chunking: Chunking | None

    @property
    def attachment(self) -> AttachmentId:
        return AttachmentId(self.tenant, self.vector_store_id, self.file_id)


@dataclass(frozen=True)
class PageRequest:
    """One page of a list: at most `limit` (1 to 100) after the item with id `after`, by time of creation."""

    limit: int = 20
    after: str | None = None
    order: Literal["asc", "desc"] = "desc"

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_PAGE_LIMIT:
            raise InvalidRequestError(f"limit is {self.limit}; it must be 1 to {MAX_PAGE_LIMIT}", "limit")
        if self.order not in ("asc", "desc"):
            raise InvalidRequestError(f"order is {self.order!r}; it must be 'asc' or 'desc'", "order")


@dataclass(frozen=True)
class Page(Generic[Record]):
    """One page of a list; `has_more` says that a next one has at least one item."""

    items: tuple[Record, ...]
    has_more: bool


@dataclass(frozen=True)
class Changes:
    """What happened to a vector store after a sequence number, up to and with `up_to_seq`.

    Apply the removals, then the additions, then ask again from `up_to_seq` until it equals `head_seq`.
    A view of one generation may find keys in `removed_keys` that it never saw.
    """

    up_to_seq: int
    head_seq: int
    added_keys: KeyArray
    removed_keys: KeyArray

    @property
    def is_last(self) -> bool:
        return self.up_to_seq == self.head_seq


@dataclass(frozen=True)
class VectorChanges(Changes):
    """`vectors` (len(added_keys), dim) float32; (0, 0) where nothing was added."""

    vectors: FloatArray


@dataclass(frozen=True)
class TextChanges(Changes):
    """`texts`: what keyword search reads of each added key (Passage.indexed_text)."""

    texts: tuple[str, ...]
