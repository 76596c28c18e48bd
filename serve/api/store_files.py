"""Files in a vector store, in OpenAI's shape: attach them singly or in batches, poll, update, detach."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.corpus.file_batches import MAX_BATCH_FILES, BatchItem
from models.corpus.records import BatchProgress, FileBatch, FileStatus, JobProgress, StoredChunk, StoreFile
from serve.api.chunking import ChunkingStrategy, to_chosen, to_strategy_body
from serve.api.enrichment import to_duplicates
from serve.api.evidence import to_location
from serve.api.ids import FileId, named_field
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

# OpenAI's clients wait this long between two polls; their default is one second.
POLL_HEADERS = {"openai-poll-after-ms": "200"}

AttributesBody = dict[str, str | bool | int | float]
StatusFilter = Annotated[FileStatus | None, Query(alias="filter")]


class AttachRequest(BaseModel):
    """A file to make searchable in a store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_id: FileId
    attributes: AttributesBody | None = None
    chunking_strategy: ChunkingStrategy | None = None

    def to_item(self) -> BatchItem:
        return BatchItem(self.file_id, to_chosen(self.chunking_strategy), self.attributes)


class UpdateRequest(BaseModel):
    """New attributes; they replace all existing ones. null clears them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attributes: AttributesBody | None


class BatchRequest(BaseModel):
    """Either `file_ids`, which share attributes and chunking, or `files`, each with its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_ids: tuple[FileId, ...] | None = Field(default=None, min_length=1, max_length=MAX_BATCH_FILES)
    files: tuple[AttachRequest, ...] | None = Field(default=None, min_length=1, max_length=MAX_BATCH_FILES)
    attributes: AttributesBody | None = None
    chunking_strategy: ChunkingStrategy | None = None

    @model_validator(mode="after")
    def _either_ids_or_files(self) -> "BatchRequest":
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("send either file_ids or files, not both")
        if self.files is not None and (self.attributes is not None or self.chunking_strategy is not None):
            raise ValueError("with files, set attributes and chunking_strategy in each file")
        return self

    def to_items(self) -> list[BatchItem]:
        if self.files is not None:
            return [file.to_item() for file in self.files]
        chunking = to_chosen(self.chunking_strategy)
        return [BatchItem(file_id, chunking, self.attributes) for file_id in self.file_ids or ()]


@router.post("/v1/vector_stores/{vector_store_id}/files")
async def attach_file(
    vector_store_id: str, body: AttachRequest, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Adds a file to the store, durably. It can be searched once its status is `completed`."""
    with named_field("file_id", "file"):
        attached = await asyncio.to_thread(
            services.corpus.store_files.attach,
            tenant,
            vector_store_id,
            body.file_id,
            to_chosen(body.chunking_strategy),
            body.attributes,
        )
    services.ingest.wake()
    return to_store_file(attached)


@router.get("/v1/vector_stores/{vector_store_id}/files")
async def list_store_files(
    vector_store_id: str, services: ServicesDep, tenant: TenantDep, page: PageDep, status: StatusFilter = None
) -> dict[str, Any]:
    """Lists the files of a store, newest first; `filter` selects one status."""
    files = await asyncio.to_thread(services.corpus.store_files.page, tenant, vector_store_id, page, status)
    return to_list(files, to_store_file)


@router.get("/v1/vector_stores/{vector_store_id}/files/{file_id}")
async def get_store_file(
    vector_store_id: str, file_id: str, services: ServicesDep, tenant: TenantDep, response: Response
) -> dict[str, Any]:
    """Describes a file of a store: its status, its error if it failed, and its attributes."""
    file = await asyncio.to_thread(services.corpus.store_files.get, tenant, vector_store_id, file_id)
    response.headers.update(POLL_HEADERS)
    return to_store_file(file)


@router.post("/v1/vector_stores/{vector_store_id}/files/{file_id}")
async def update_store_file(
    vector_store_id: str, file_id: str, body: UpdateRequest, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Replaces the attributes. The next search filters by them; nothing is embedded again."""
    set_attributes = services.corpus.store_files.set_attributes
    return to_store_file(
        await asyncio.to_thread(set_attributes, tenant, vector_store_id, file_id, body.attributes or {})
    )


@router.delete("/v1/vector_stores/{vector_store_id}/files/{file_id}")
async def detach_file(vector_store_id: str, file_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Removes the file from the store: from now on no search of the store returns it. The file itself stays."""
    await asyncio.to_thread(services.corpus.store_files.detach, tenant, vector_store_id, file_id)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.get("/v1/vector_stores/{vector_store_id}/files/{file_id}/content")
async def get_store_file_content(
    vector_store_id: str, file_id: str, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Returns the file's searchable chunks, in order."""
    chunks = await asyncio.to_thread(services.corpus.store_files.chunks, tenant, vector_store_id, file_id)
    data = [to_content(chunk) for chunk in chunks]
    return {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}


@router.post("/v1/vector_stores/{vector_store_id}/file_batches")
async def create_file_batch(
    vector_store_id: str, body: BatchRequest, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Adds all the files, durably, or none of them."""
    with named_field("file_ids" if body.files is None else "files", "file"):
        batch = await asyncio.to_thread(services.corpus.file_batches.create, tenant, vector_store_id, body.to_items())
    services.ingest.wake()
    return to_file_batch(batch)


@router.get("/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}")
async def get_file_batch(
    vector_store_id: str, batch_id: str, services: ServicesDep, tenant: TenantDep, response: Response
) -> dict[str, Any]:
    """Describes a batch: its status, and its files by status."""
    batch = await asyncio.to_thread(services.corpus.file_batches.get, tenant, vector_store_id, batch_id)
    response.headers.update(POLL_HEADERS)
    return to_file_batch(batch)


@router.post("/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel")
async def cancel_file_batch(
    vector_store_id: str, batch_id: str, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Cancels the files that are still in progress. Completed ones stay."""
    return to_file_batch(
        await asyncio.to_thread(services.corpus.file_batches.cancel, tenant, vector_store_id, batch_id)
    )


@router.get("/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files")
async def list_batch_files(
    vector_store_id: str,
    batch_id: str,
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    status: StatusFilter = None,
) -> dict[str, Any]:
    """Lists the files of a batch, newest first; `filter` selects one status."""
    files = services.corpus.file_batches.files
    return to_list(await asyncio.to_thread(files, tenant, vector_store_id, batch_id, page, status), to_store_file)


def to_store_file(file: StoreFile) -> dict[str, Any]:
    return {
        "id": file.file_id,
        "object": "vector_store.file",
        "vector_store_id": file.vector_store_id,
        "status": file.status,
        "created_at": file.created_at,
        "usage_bytes": file.usage_bytes,
        "last_error": _last_error(file),
        "progress": None if file.progress is None else _progress(file.progress),
        "attributes": file.attributes,
        # To OpenAI `auto` is a request; a file has sizes, or another way.
        "chunking_strategy": to_strategy_body(file.chunking) if file.chunking else {"type": "other"},
        "version": file.version,
        "parse_report": None if file.parse_report is None else file.parse_report.to_json(),
        "derived_attributes": file.derived,
        "duplicates": to_duplicates(file.duplicates),
    }


def _last_error(file: StoreFile) -> dict[str, Any] | None:
    """OpenAI's code and message, and our own: the exact reason, the attempts and the time."""
    if file.last_error_code is None:
        return None
    error: dict[str, Any] = {"code": file.last_error_code, "message": file.last_error_message}
    if file.failure is not None:
        failure = file.failure
        error |= {"reason": failure.reason, "attempts": failure.num_attempts, "failed_at": failure.failed_at}
    return error


def _progress(progress: JobProgress) -> dict[str, Any]:
    return {
        "state": progress.state,
        "chunks_done": progress.num_embedded,
        "chunks_total": progress.num_chunks,
        "attempts": progress.num_attempts,
        "last_reason": progress.last_reason,
        "retry_at": progress.retry_at,
    }


def _batch_progress(progress: BatchProgress) -> dict[str, int]:
    counts = {"queued": progress.queued, "parsing": progress.parsing, "embedding": progress.embedding}
    return counts | {"chunks_done": progress.num_embedded, "chunks_total": progress.num_chunks}


def to_file_batch(batch: FileBatch) -> dict[str, Any]:
    return {
        "id": batch.batch_id,
        "object": "vector_store.files_batch",
        "vector_store_id": batch.vector_store_id,
        "status": batch.status,
        "created_at": batch.created_at,
        "file_counts": {**vars(batch.file_counts), "total": batch.file_counts.total},
        "progress": _batch_progress(batch.progress),
    }


def to_content(chunk: StoredChunk) -> dict[str, Any]:
    """OpenAI's text content. `text` is characters `start` to `end` of the file's text."""
    fields = {name: value for name, value in vars(chunk).items() if name != "source_map"}
    return {"type": "text", **fields, "location": to_location(chunk.location)}
