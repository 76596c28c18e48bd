"""/v1/vector_stores in OpenAI's shape. store_files.py has the files in a store, search.py its search."""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from models.corpus.corpus import Corpus
from models.corpus.file_batches import MAX_BATCH_FILES, BatchItem
from models.corpus.records import PageRequest, VectorStore
from models.corpus.store_changes import UNCHANGED, VectorStoreChanges
from models.enrichment.options import IngestOptions
from models.errors.base import RagError
from serve.api.chunking import ChunkingStrategy, to_chunking, to_strategy_body
from serve.api.enrichment import (
    EnrichmentBody,
    PersonalDataBody,
    to_enrichment,
    to_enrichment_body,
    to_masked,
    to_personal_data_body,
)
from serve.api.ids import FileId, named_field
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep, TenantRoute
from serve.api.store_metadata import check_answer_metadata

router = APIRouter(route_class=TenantRoute)


class ExpiresAfter(BaseModel):
    """A store expires `days` after its last search or change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class CreateRequest(BaseModel):
    """A new store, with its first files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", max_length=256)
    file_ids: tuple[FileId, ...] = Field(default=(), max_length=MAX_BATCH_FILES)
    chunking_strategy: ChunkingStrategy | None = None
    metadata: dict[str, str] | None = None
    expires_after: ExpiresAfter | None = None
    enrichment: EnrichmentBody | None = None
    personal_data: PersonalDataBody | None = None


class ModifyRequest(BaseModel):
    """New values. A field that is left out keeps its value; null clears it.

    Another `enrichment` or `personal_data` ingests the store's files again, in the background.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(default=None, max_length=256)
    metadata: dict[str, str] | None = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: ChunkingStrategy | None = Field(default=None, description="Of files attached from now on.")
    enrichment: EnrichmentBody | None = None
    personal_data: PersonalDataBody | None = None

    def to_changes(self) -> VectorStoreChanges:
        fields = self.model_fields_set
        return VectorStoreChanges(
            name=(self.name or "") if "name" in fields else UNCHANGED,
            metadata=(self.metadata or {}) if "metadata" in fields else UNCHANGED,
            expires_after_days=_days(self.expires_after) if "expires_after" in fields else UNCHANGED,
            chunking=to_chunking(self.chunking_strategy) if "chunking_strategy" in fields else UNCHANGED,
            enrichment=to_enrichment(self.enrichment) if "enrichment" in fields else UNCHANGED,
            masked=to_masked(self.personal_data) if "personal_data" in fields else UNCHANGED,
        )


@router.post("/v1/vector_stores")
async def create_vector_store(body: CreateRequest, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Creates a store with its files. If a file does not exist, no store is created."""
    check_answer_metadata(body.metadata or {})
    store = await asyncio.to_thread(_create, services.corpus, tenant, body)
    services.ingest.wake()
    return store


@router.get("/v1/vector_stores")
async def list_vector_stores(services: ServicesDep, tenant: TenantDep, page: PageDep) -> dict[str, Any]:
    """Lists the stores, newest first."""
    return await asyncio.to_thread(_list, services.corpus, tenant, page)


@router.get("/v1/vector_stores/{vector_store_id}")
async def get_vector_store(vector_store_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Describes a store: its files by status, and the index that is searched."""
    store = await asyncio.to_thread(services.corpus.vector_stores.get, tenant, vector_store_id)
    return await asyncio.to_thread(to_vector_store, services.corpus, store)


@router.get("/v1/vector_stores/{vector_store_id}/index")
async def get_index_size(vector_store_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Counts the chunks of a store, the tokens of their texts, and the bytes of texts, vectors and token vectors."""
    size = await asyncio.to_thread(services.corpus.vector_stores.index_size, tenant, vector_store_id)
    return {"object": "vector_store.index", "vector_store_id": vector_store_id, **vars(size)}


@router.post("/v1/vector_stores/{vector_store_id}")
async def modify_vector_store(
    vector_store_id: str, body: ModifyRequest, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Changes the name, the metadata, the expiry, the chunking, the enrichment or the masks of a store."""
    check_answer_metadata(body.metadata or {})
    stores = services.corpus.vector_stores
    modified = await asyncio.to_thread(stores.modify, tenant, vector_store_id, body.to_changes())
    services.ingest.wake()
    return await asyncio.to_thread(to_vector_store, services.corpus, modified)


@router.delete("/v1/vector_stores/{vector_store_id}")
async def delete_vector_store(vector_store_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes the store and its search index; the files stay. The store `default` is created again, empty."""
    await asyncio.to_thread(services.corpus.vector_stores.delete, tenant, vector_store_id)
    return {"id": vector_store_id, "object": "vector_store.deleted", "deleted": True}


def to_vector_store(corpus: Corpus, store: VectorStore) -> dict[str, Any]:
    """OpenAI's object; `index` names the generation of vectors that is searched, and one that is being built.

    Reads the database while a generation is being built, so call it in a thread.
    """
    days = store.expires_after_days
    # OpenAI's description does not let it be null.
    expiry = {} if days is None else {"expires_after": {"anchor": "last_active_at", "days": days}}
    return {
        "id": store.vector_store_id,
        "object": "vector_store",
        "name": store.name,
        "status": store.status,
        "created_at": store.created_at,
        "last_active_at": store.last_active_at,
        **expiry,
        "expires_at": store.expires_at,
        "usage_bytes": store.usage_bytes,
        "file_counts": {**vars(store.file_counts), "total": store.file_counts.total},
        "metadata": store.metadata,
        "chunking_strategy": to_strategy_body(store.chunking),
        "enrichment": to_enrichment_body(store.options.enrichment),
        "personal_data": to_personal_data_body(store.options.masked),
        "index": {"generation": store.generation, "building": _building(corpus, store)},
    }


def _building(corpus: Corpus, store: VectorStore) -> dict[str, Any] | None:
    if store.building is None:
        return None
    progress = corpus.generations.progress(store.tenant, store.vector_store_id)
    return None if progress is None else vars(progress)


def _list(corpus: Corpus, tenant: str, page: PageRequest) -> dict[str, Any]:
    stores = corpus.vector_stores.page(tenant, page)
    return to_list(stores, lambda store: to_vector_store(corpus, store))


def _create(corpus: Corpus, tenant: str, body: CreateRequest) -> dict[str, Any]:
    chunking = to_chunking(body.chunking_strategy)
    stores = corpus.vector_stores
    options = IngestOptions(to_enrichment(body.enrichment), to_masked(body.personal_data))
    store = stores.create(tenant, body.name, body.metadata, _days(body.expires_after), chunking, options)
    if body.file_ids:
        items = [BatchItem(file_id) for file_id in body.file_ids]
        try:
            with named_field("file_ids"):
                corpus.file_batches.create(tenant, store.vector_store_id, items)
        except RagError:
            stores.delete(tenant, store.vector_store_id)
            raise
        store = stores.get(tenant, store.vector_store_id)
    return to_vector_store(corpus, store)


def _days(expires_after: ExpiresAfter | None) -> int | None:
    return None if expires_after is None else expires_after.days
