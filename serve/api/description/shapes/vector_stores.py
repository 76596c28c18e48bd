"""Vector stores, their files, their batches and their search."""

from typing import Any, Literal

from pydantic import Field

from models.corpus.failures import FailureReason
from models.corpus.records import FileStatus
from serve.api.description.shapes.base import Attributes, ListShape, Metadata, OpenShape, Shape
from serve.api.evidence import LOCATION, LocationBody
from serve.api.understanding import SearchBody


class FileCounts(Shape):
    """Files by status."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class BuildingIndex(OpenShape):
    """An index generation that is being built beside the searched one."""


class StoreIndex(Shape):
    """The index generation that is searched, and one that is being built."""

    generation: str | None
    building: BuildingIndex | None


class ExpiryObject(Shape):
    anchor: Literal["last_active_at"]
    days: int


class VectorStoreObject(Shape):
    """A vector store."""

    id: str
    object: Literal["vector_store"]
    name: str
    status: Literal["in_progress", "completed", "expired"]
    created_at: int
    last_active_at: int | None
    expires_after: ExpiryObject | None = Field(default=None, description="Left out if it never expires.")
    expires_at: int | None
    usage_bytes: int
    file_counts: FileCounts
    metadata: Metadata
    chunking_strategy: dict[str, Any]
    enrichment: dict[str, Any] | None
    personal_data: dict[str, Any] | None
    index: StoreIndex


class VectorStoreList(ListShape):
    data: list[VectorStoreObject]


class IndexSizeObject(Shape):
    """The chunks of a store, the tokens of their texts, and their bytes."""

    object: Literal["vector_store.index"]
    vector_store_id: str
    num_chunks: int
    num_tokens: int
    num_bytes: int


class LastError(Shape):
    """Why a file failed."""

    code: str
    message: str
    reason: FailureReason | None = None
    attempts: int | None = None
    failed_at: int | None = None


class Progress(Shape):
    """A file that is being ingested."""

    state: str
    chunks_done: int
    chunks_total: int | None
    attempts: int
    last_reason: str | None
    retry_at: int | None


class StoreFileObject(Shape):
    """A file in a vector store."""

    id: str
    object: Literal["vector_store.file"]
    vector_store_id: str
    status: FileStatus
    created_at: int
    usage_bytes: int
    last_error: LastError | None
    progress: Progress | None
    attributes: Attributes
    chunking_strategy: dict[str, Any]
    version: int
    parse_report: dict[str, Any] | None
    derived_attributes: dict[str, Any] | None
    duplicates: list[dict[str, Any]] | None


class StoreFileList(ListShape):
    data: list[StoreFileObject]


class ContentBlock(Shape):
    """A chunk. `text` is characters `start` to `end` of the file's text."""

    type: Literal["text"]
    text: str
    chunk_id: str
    start: int
    end: int
    context: str | None = None
    location: LocationBody = Field(description=LOCATION)


class FileContentPage(Shape):
    """The chunks of a file in a store."""

    object: Literal["vector_store.file_content.page"]
    data: list[ContentBlock]
    has_more: bool
    next_page: str | None


class BatchProgressObject(Shape):
    queued: int
    parsing: int
    embedding: int
    chunks_done: int
    chunks_total: int


class FileBatchObject(Shape):
    """Files that were added together."""

    id: str
    object: Literal["vector_store.files_batch"]
    vector_store_id: str
    status: FileStatus
    created_at: int
    file_counts: FileCounts
    progress: BatchProgressObject


class ChangedFiles(Shape):
    """How many files a filter matched."""

    object: Literal["vector_store.files.deleted", "vector_store.files.updated"]
    vector_store_id: str
    num_files: int
    dry_run: bool


class SearchResult(Shape):
    file_id: str
    filename: str
    score: float
    attributes: Attributes
    content: list[ContentBlock]


class SearchPage(Shape):
    """Passages, best first."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool
    next_page: str | None
    timings: dict[str, float] = Field(description="Seconds by stage.")
    models: dict[str, str] = Field(description="Catalog alias by stage.")
    degraded: list[str]
    degraded_reasons: dict[str, str]
    stale: dict[str, float]
    cached: list[str]
    searches: list[SearchBody]
