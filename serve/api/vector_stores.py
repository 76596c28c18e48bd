"""/v1/vector_stores in OpenAI's shape: the stores, and the files in them with their ingestion's status."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from models.corpus.records import Chunking, FileStatus, StoreFile, VectorStore
from models.errors import InvalidRequestError
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep

router = APIRouter()

AUTO_CHUNKING = {"type": "auto"}


class StaticChunking(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0, le=2048)


class ChunkingStrategy(BaseModel):
    """`auto` leaves the size to the parser stage's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["auto", "static"]
    static: StaticChunking | None = None

    def to_chunking(self) -> Chunking | None:
        if self.type == "auto":
            return None
        if self.static is None:
            raise InvalidRequestError("a static chunking_strategy needs `static`", "chunking_strategy.static")
        size, overlap = self.static.max_chunk_size_tokens, self.static.chunk_overlap_tokens
        if overlap > size // 2:
            raise InvalidRequestError(
                f"chunk_overlap_tokens is {overlap}; at most half of max_chunk_size_tokens ({size // 2}) is allowed",
                "chunking_strategy.static.chunk_overlap_tokens",
            )
        return Chunking(size, overlap)


class AttachRequest(BaseModel):
    """A file to make searchable in a store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_id: str = Field(min_length=1, max_length=128)
    attributes: dict[str, str | float | bool] | None = None
    chunking_strategy: ChunkingStrategy | None = None


class CreateRequest(BaseModel):
    """A new store, with files to make searchable in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", max_length=256)
    file_ids: tuple[str, ...] = Field(default=(), max_length=500)
    chunking_strategy: ChunkingStrategy | None = None


@router.post("/v1/vector_stores")
async def create_vector_store(body: CreateRequest, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Makes a store, and takes the files in as if each were attached."""
    chunking = body.chunking_strategy.to_chunking() if body.chunking_strategy else None
    for file_id in body.file_ids:  # a file that is not there is refused before anything is made
        await asyncio.to_thread(services.corpus.files.get, tenant, file_id)
    made = await asyncio.to_thread(services.corpus.vector_stores.create, tenant, body.name)
    for file_id in body.file_ids:
        await asyncio.to_thread(
            services.corpus.store_files.attach, tenant, made.vector_store_id, file_id, chunking, None
        )
    services.ingest.wake()
    return to_vector_store(await asyncio.to_thread(services.corpus.vector_stores.get, tenant, made.vector_store_id))


@router.delete("/v1/vector_stores/{vector_store_id}")
async def delete_vector_store(vector_store_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes the store and what was searchable in it; the files stay. `default` cannot be deleted."""
    await asyncio.to_thread(services.corpus.vector_stores.delete, tenant, vector_store_id)
    return {"id": vector_store_id, "object": "vector_store.deleted", "deleted": True}


@router.get("/v1/vector_stores")
async def list_vector_stores(services: ServicesDep, tenant: TenantDep, page: PageDep) -> dict[str, Any]:
    return to_list(await asyncio.to_thread(services.corpus.vector_stores.page, tenant, page), to_vector_store)


@router.get("/v1/vector_stores/{vector_store_id}")
async def get_vector_store(vector_store_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    return to_vector_store(await asyncio.to_thread(services.corpus.vector_stores.get, tenant, vector_store_id))


@router.post("/v1/vector_stores/{vector_store_id}/files")
async def attach_file(
    vector_store_id: str, body: AttachRequest, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Takes the file in, durably; it is searchable once its status is `completed`."""
    chunking = body.chunking_strategy.to_chunking() if body.chunking_strategy else None
    attached = await asyncio.to_thread(
        services.corpus.store_files.attach, tenant, vector_store_id, body.file_id, chunking, body.attributes
    )
    services.ingest.wake()
    return to_store_file(attached)


@router.get("/v1/vector_stores/{vector_store_id}/files")
async def list_store_files(
    vector_store_id: str,
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    status: Annotated[FileStatus | None, Query(alias="filter")] = None,
) -> dict[str, Any]:
    found = await asyncio.to_thread(services.corpus.store_files.page, tenant, vector_store_id, page, status)
    return to_list(found, to_store_file)


@router.get("/v1/vector_stores/{vector_store_id}/files/{file_id}")
async def get_store_file(
    vector_store_id: str, file_id: str, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    return to_store_file(await asyncio.to_thread(services.corpus.store_files.get, tenant, vector_store_id, file_id))


@router.delete("/v1/vector_stores/{vector_store_id}/files/{file_id}")
async def detach_file(vector_store_id: str, file_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Takes the file out of the store: no search finds it there from now on. The file itself stays."""
    await asyncio.to_thread(services.corpus.store_files.detach, tenant, vector_store_id, file_id)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


def to_vector_store(store: VectorStore) -> dict[str, Any]:
    counts = store.file_counts
    return {
        "id": store.vector_store_id,
        "object": "vector_store",
        "name": store.name,
        "status": "in_progress" if counts.in_progress else "completed",
        "created_at": store.created_at,
        "last_active_at": store.last_active_at,
        "usage_bytes": store.usage_bytes,
        "file_counts": {**vars(counts), "total": counts.total},
        "metadata": {},
    }


def to_store_file(file: StoreFile) -> dict[str, Any]:
    error = {"code": file.last_error_code, "message": file.last_error_message} if file.last_error_code else None
    return {
        "id": file.file_id,
        "object": "vector_store.file",
        "vector_store_id": file.vector_store_id,
        "status": file.status,
        "created_at": file.created_at,
        "usage_bytes": file.usage_bytes,
        "last_error": error,
        "attributes": file.attributes,
        "chunking_strategy": _chunking_strategy(file.chunking),
    }


def _chunking_strategy(chunking: Chunking | None) -> dict[str, Any]:
    if chunking is None:
        return AUTO_CHUNKING
    static = {"max_chunk_size_tokens": chunking.max_tokens, "chunk_overlap_tokens": chunking.overlap_tokens}
    return {"type": "static", "static": static}
