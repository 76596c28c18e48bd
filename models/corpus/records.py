"""The records that the corpus returns: frozen dataclasses, named as in OpenAI's files and vector stores API."""

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from models.corpus.chunking import Chunking
from models.corpus.failures import Failure
from models.corpus.parse_report import ParseReport
from models.enrichment.options import PLAIN, IngestOptions
from models.errors.requests import InvalidRequestError
from models.filters import Attributes
from models.location import Location, locate
from models.types.arrays import FloatArray, KeyArray

FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]
JobState = Literal["queued", "parsing", "embedding"]
VectorStoreStatus = Literal["in_progress", "completed", "expired"]
Record = TypeVar("Record")

MAX_PAGE_LIMIT = 100  # as in OpenAI's list calls


@dataclass(frozen=True)
class File:
    """An uploaded file. Times are in Unix seconds. `version` counts from 1; each replacement adds one.

    `sha256` is that of the newest version's content, as 64 hex digits.
    """

    file_id: str
    tenant: str
    filename: str
    size_bytes: int
    purpose: str
    created_at: int
    version: int = 1
    expires_at: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class FileVersion:
    """A version of a file. `replaced_at`, in Unix seconds: when the next one took its place; None: it is the newest."""

    version: int
    filename: str
    size_bytes: int
    sha256: str
    replaced_at: int | None = None


@dataclass(frozen=True)
class FileCounts:
    """The number of a vector store's files in each status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True)
class VectorStore:
    """A set of files that are searched together. Times are in Unix seconds.

    `last_active_at` is the last change, or also the last search if the store expires. `generation` names the vector
    space of searches, None before the first file. `building` names the generation that will replace it. `chunking` is
    that of files attached without one, None for auto.
    """

    tenant: str
    vector_store_id: str
    name: str
    created_at: int
    last_active_at: int
    usage_bytes: int
    file_counts: FileCounts
    status: VectorStoreStatus = "completed"
    metadata: dict[str, str] = field(default_factory=dict)
    expires_after_days: int | None = None
    expires_at: int | None = None
    generation: str | None = None
    building: str | None = None
    chunking: Chunking | None = None
    options: IngestOptions = PLAIN


@dataclass(frozen=True)
class IndexSize:
    """The chunks of a vector store, the tokens of their texts, and the bytes of texts, vectors and token vectors."""

    num_chunks: int
    num_tokens: int
    num_bytes: int


@dataclass(frozen=True)
class JobProgress:
    """A job under way. `num_chunks` is None until the file is parsed. `retry_at`, in Unix seconds, follows a failure.

    `num_attempts` counts those that may end in failure; an attempt that a full or missing stage ended is not counted.
    """

    state: JobState
    num_embedded: int = 0
    num_chunks: int | None = None
    num_attempts: int = 0
    last_reason: str | None = None
    retry_at: int | None = None


@dataclass(frozen=True)
class BatchProgress:
    """The files of a batch that are in progress, by state, and the chunks of those that are parsed.

    When none is in progress, the chunks are those of the batch's searchable files.
    """

    queued: int = 0
    parsing: int = 0
    embedding: int = 0
    num_embedded: int = 0
    num_chunks: int = 0


@dataclass(frozen=True)
class FileBatch:
    """Files that were attached in one request."""

    batch_id: str
    vector_store_id: str
    created_at: int
    status: FileStatus
    file_counts: FileCounts
    progress: BatchProgress = BatchProgress()


@dataclass(frozen=True)
class StoredChunk:
    """A chunk of a file in a vector store. `text` is characters `start` to `end` of the file's text.

    `source_map` is as in Passage.
    """

    chunk_id: str
    text: str
    start: int
    end: int
    context: str
    source_map: str = ""

    @property
    def location(self) -> Location | None:
        """Where the chunk stands in the file. None: unknown."""
        return locate(self.source_map, self.text, self.start, self.start, self.end)


@dataclass(frozen=True)
class Duplicate:
    """A file of the same store that is nearly the same. `similarity`: of their runs of three words, 0 to 1 (Jaccard).

    `is_exact`: the texts are equal to the letter.
    """

    file_id: str
    similarity: float
    is_exact: bool


@dataclass(frozen=True)
class StoreFile:
    """A file in a vector store. `chunking` None means auto. `usage_bytes` counts the chunks' texts, vectors
    and token vectors.

    `version` is the searched version of the file, 0 for none. It stays the old version while a newer one is
    in_progress, and after a newer one failed. `parse_report` is of that version, None if it is unknown. `derived`: the
    attributes that the store asked for. A filter finds them beside `attributes`, which win where both have a name.
    `duplicates`: the most similar files first; None if the store did not ask.
    """

    file_id: str
    vector_store_id: str
    status: FileStatus
    created_at: int
    usage_bytes: int
    last_error_code: str | None
    last_error_message: str | None
    chunking: Chunking | None
    attributes: Attributes
    version: int = 0
    parse_report: ParseReport | None = None
    failure: Failure | None = None
    progress: JobProgress | None = None  # while in_progress
    derived: Attributes = field(default_factory=dict)
    duplicates: tuple[Duplicate, ...] | None = None


@dataclass(frozen=True)
class AttachmentId:
    """Identifies one file in one vector store of one tenant."""

    tenant: str
    vector_store_id: str
    file_id: str


@dataclass(frozen=True)
class Job:
    """A claimed ingestion job, leased to `owner`. `attempt` counts from 1."""

    job_id: int
    owner: str
    attempt: int
    tenant: str
    vector_store_id: str
    file_id: str
    filename: str
    chunking: Chunking | None
    version: int = 1  # of the file
    size_bytes: int = 0
    num_retries: int = 0  # the attempts before this one, counted or not
    last_reason: str | None = None  # why the attempt before this one ended
    options: IngestOptions = PLAIN

    @property
    def attachment(self) -> AttachmentId:
        return AttachmentId(self.tenant, self.vector_store_id, self.file_id)


@dataclass(frozen=True)
class PageRequest:
    """A request for one page of a list, sorted by time of creation: at most `limit` (1 to 100) items.

    The page starts after the item with id `after`, or ends before the item with id `before`.
    """

    limit: int = 20
    after: str | None = None
    order: Literal["asc", "desc"] = "desc"
    before: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_PAGE_LIMIT:
            raise InvalidRequestError(f"limit is {self.limit}; it must be 1 to {MAX_PAGE_LIMIT}", "limit")
        if self.order not in ("asc", "desc"):
            raise InvalidRequestError(f"order is {self.order!r}; it must be 'asc' or 'desc'", "order")
        if self.after is not None and self.before is not None:
            raise InvalidRequestError("set `after` or `before`, not both", "before")

    @property
    def cursor(self) -> str | None:
        """The id of the item before or after the page, None for the first page."""
        return self.after if self.before is None else self.before


@dataclass(frozen=True)
class Page(Generic[Record]):
    """One page of a list. `has_more` is True if another page follows."""

    items: tuple[Record, ...]
    has_more: bool


@dataclass(frozen=True)
class Changes:
    """The changes of a vector store after a sequence number, up to and including `up_to_seq`.

    Apply the removals, then the additions and the attributes. Then read again from `up_to_seq` until it equals
    `head_seq`. `removed_keys` may contain keys that the view never received. `attributes` maps the key of each file
    with changed attributes to all its attributes; it is empty for a view without filters.
    """

    log_id: str
    up_to_seq: int
    head_seq: int
    added_keys: KeyArray
    removed_keys: KeyArray
    attributes: dict[int, Attributes]

    @property
    def is_last(self) -> bool:
        return self.up_to_seq == self.head_seq


@dataclass(frozen=True)
class VectorChanges(Changes):
    """Changes with `vectors` (len(added_keys), dim) float32; (0, 0) if nothing was added.

    `added_file_keys` has the file of each added key.
    """

    added_file_keys: KeyArray
    vectors: FloatArray


@dataclass(frozen=True)
class TextChanges(Changes):
    """Changes with `texts`: the text that keyword search indexes for each added key (Passage.indexed_text).

    `added_file_keys` has the file of each added key.
    """

    added_file_keys: KeyArray
    texts: tuple[str, ...]


@dataclass(frozen=True)
class TokenChanges(Changes):
    """Changes with `codes`: the encoded token vectors of each added key (models/index/token_codec.py)."""

    codes: tuple[bytes, ...]


@dataclass(frozen=True)
class Head:
    """A position in a vector store's log. Numbers of different logs (`log_id`) cannot be compared."""

    seq: int
    log_id: str


@dataclass(frozen=True)
class BuildProgress:
    """Progress of a store's next generation: chunks that have a vector in it, of all chunks."""

    generation: str
    num_done: int
    num_chunks: int
