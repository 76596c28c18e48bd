"""The objects of responses, for the description alone: routes build them as dicts, since validation costs time.

A test validates the real responses of every route against these shapes.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.failures import FailureReason
from models.corpus.feedback import Rating
from models.corpus.records import FileStatus
from serve.api.evidence import LOCATION, LocationBody
from serve.api.understanding import SearchBody

Attributes = dict[str, str | bool | int | float]
Metadata = dict[str, str]


class Shape(BaseModel):
    """A response with these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class OpenShape(BaseModel):
    """A response that may have further fields of OpenAI's."""

    model_config = ConfigDict(extra="allow")


class ListShape(Shape):
    """A page of a list. Send `last_id` as `after` for the next page."""

    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(Shape):
    """What was deleted."""

    id: str
    object: str = Field(description="file, vector_store.deleted, vector_store.file.deleted and so on.")
    deleted: bool


class FileObject(Shape):
    """A stored file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int = Field(description="Unix seconds.")
    expires_at: int | None = Field(default=None, description="Unix seconds; left out if it never expires.")
    filename: str
    purpose: str
    status: Literal["processed"]
    version: int = Field(description="Counts the contents of the file, from 1.")
    sha256: str


class FileList(ListShape):
    data: list[FileObject]


class FileVersionObject(Shape):
    """A version of a file."""

    object: Literal["file.version"]
    file_id: str
    version: int = Field(description="Counts the contents of the file, from 1.")
    filename: str
    bytes: int
    sha256: str
    replaced_at: int | None = Field(description="Unix seconds; null: it is the newest.")


class FileVersionList(Shape):
    object: Literal["list"]
    data: list[FileVersionObject]
    has_more: Literal[False]


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


class DeadLetterObject(Shape):
    """A file that failed for good."""

    id: str
    object: Literal["dead_letter"]
    vector_store_id: str
    file_id: str
    filename: str
    reason: FailureReason
    last_error: LastError
    attempts: int
    failed_at: int | None


class DeadLetterList(ListShape):
    data: list[DeadLetterObject]


class FeedbackObject(Shape):
    """What a user said of an answer."""

    id: str = Field(description="The request's id.")
    object: Literal["feedback"]
    created_at: int
    rating: Rating
    comment: str | None
    query: str | None
    answer: str | None
    file_ids: list[str]


class FeedbackList(ListShape):
    data: list[FeedbackObject]


class ReplayObject(Shape):
    object: Literal["dead_letter.replay"]
    replayed: int


class ModelObject(Shape):
    """A name that requests may give as `model`."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    stage: str
    parent: str | None = Field(default=None, description="Of an adapter: the model that it adapts.")


class ModelList(Shape):
    object: Literal["list"]
    data: list[ModelObject]


class EmbeddingObject(Shape):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="Numbers, or with `base64` their little-endian float32.")


class EmbeddingUsage(Shape):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Shape):
    """A unit vector for each input, in order."""

    object: Literal["list"]
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage


class RankedDocument(Shape):
    index: int
    relevance_score: float
    document: dict[str, str] | None = None


class RankedDocuments(Shape):
    """Cohere's response; except on /v2/rerank with Jina's `model` and `usage`."""

    id: str
    results: list[RankedDocument]
    meta: dict[str, Any]
    model: str | None = None
    usage: dict[str, int] | None = None


class RankedText(Shape):
    """An item of TEI's response."""

    index: int
    score: float
    text: str | None = None


class UsageObject(OpenShape):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class InputTokensObject(OpenShape):
    """OpenAI's count of the tokens that a response would read, without passages."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class CompactionObject(OpenShape):
    """OpenAI's conversation made short. `output` goes in place of its items."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[dict[str, Any]]
    usage: dict[str, Any]


class MessageTokensObject(OpenShape):
    """Anthropic's count of the tokens of messages, without passages."""

    input_tokens: int


class CalledFunctionObject(OpenShape):
    name: str
    arguments: str = Field(description="JSON, as the model wrote it.")


class ToolCallObject(OpenShape):
    """A call of a client's function."""

    id: str
    type: Literal["function"]
    function: CalledFunctionObject


class AssistantMessage(OpenShape):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None
    annotations: list[dict[str, Any]] | None = Field(
        default=None, description="A url_citation for each marker in the text."
    )
    tool_calls: list[ToolCallObject] | None = None


class ChatChoice(OpenShape):
    index: int
    message: AssistantMessage
    finish_reason: str | None


class ChatCompletion(OpenShape):
    """OpenAI's object. An answer from documents has its evidence too."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageObject


class TextChoice(OpenShape):
    index: int
    text: str
    finish_reason: str | None


class TextCompletionObject(OpenShape):
    """OpenAI's legacy object. An answer from documents has its evidence too."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: UsageObject


class MessageBlock(OpenShape):
    type: str
    text: str | None = None
    citations: list[dict[str, Any]] | None = None


class AnthropicMessage(OpenShape):
    """Anthropic's object. An answer from documents has its evidence too."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[MessageBlock]
    stop_reason: str | None
    stop_sequence: str | None
    usage: dict[str, Any]


class ResponseObject(OpenShape):
    """OpenAI's response. An answer from documents has its evidence too."""

    id: str
    object: Literal["response"]
    created_at: float
    status: Literal["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"]
    error: dict[str, Any] | None
    model: str
    output: list[dict[str, Any]]
    previous_response_id: str | None
    metadata: Metadata
    usage: dict[str, Any] | None = Field(default=None, description="Left out while the response is in progress.")


class ItemObject(OpenShape):
    """An item of a conversation or a response: a message, a call of a tool, its output."""

    id: str
    type: str


class ItemList(ListShape):
    data: list[ItemObject]


class ConversationObject(Shape):
    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: Metadata


class AuditEventObject(Shape):
    """What a caller changed, or was denied."""

    id: str
    object: Literal["audit_event"]
    created_at: int
    actor: str = Field(description="The id of the key, or `file:` or `digest:` (unknown) and the start of a digest.")
    role: str
    action: str = Field(description="Method and route, or a command of `ragserve`.")
    status: int = Field(description="The HTTP status: 401 and 403 were denied. 0: a command on the service's machine.")
    request_id: str
    ids: dict[str, str] = Field(
        description="What it concerns; `id` is what was made, `unrecorded` how many denials before were not recorded."
    )
    address: str = Field(description="Of a client that was denied; else empty.")


class AuditEventList(ListShape):
    data: list[AuditEventObject]


class UserFactObject(Shape):
    """What a user said about themselves."""

    id: str
    object: Literal["user_fact"]
    text: str = Field(description="The user's own sentence.")
    stated_at: int = Field(description="When it was last stated, in Unix seconds.")


class UserFactList(ListShape):
    data: list[UserFactObject]


class DeletedFacts(Shape):
    object: Literal["user_facts.deleted"]
    user: str
    deleted: int = Field(description="The number of facts.")


class StageObject(Shape):
    """The state of a stage."""

    ready: bool
    model: str | None
    runs_on: Any
    unfinished: int | None
    oldest_s: float | None
    loading: str | None
    error: str | None
    canary: dict[str, Any] | None
    breaker: Literal["closed", "half_open", "open"]


class CanaryObject(Shape):
    """The last document that was ingested, found and deleted to see that it works."""

    ok: bool
    problem: str | None
    ended_at: str


class RecentObject(Shape):
    """The last answers of an ingress replica, and the share that lost each stage."""

    answers: int
    degraded: dict[str, float]


class Readiness(Shape):
    ready: bool
    ingress: str
    missing: list[str]
    problems: list[str]
    rollout: dict[str, str]
    recent: RecentObject
    stages: dict[str, StageObject]
    dependencies: dict[str, Literal["closed", "half_open", "open"]] = Field(
        description="The breaker of each server that is called: database, database_writes, redis, milvus."
    )
    document_canary: CanaryObject | None


class Liveness(Shape):
    status: Literal["ok"]
