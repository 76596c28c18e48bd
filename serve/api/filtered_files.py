"""Delete and update the files of a vector store whose attributes match a filter. Not in OpenAI's API."""

import asyncio
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from models.corpus.filtered_files import FileChanges
from models.filters import Filter, check_filter
from serve.api.chunking import ChunkingStrategy, to_chunking
from serve.api.filters import FilterBody
from serve.api.services import ServicesDep, TenantDep, TenantRoute

router = APIRouter(route_class=TenantRoute)


class DeleteByFilterRequest(BaseModel):
    """Which files to remove from the store. `dry_run` only counts them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filters: FilterBody
    dry_run: bool = False

    def to_filter(self) -> Filter:
        where = self.filters.to_filter()
        check_filter(where)
        return where


class UpdateByFilterRequest(DeleteByFilterRequest):
    """Attributes to set by key, null to remove one; and how the files are cut into chunks from now on."""

    attributes: dict[str, str | bool | int | float | None] = Field(default_factory=dict, max_length=64)
    chunking_strategy: ChunkingStrategy | None = None

    def to_changes(self) -> FileChanges:
        if self.chunking_strategy is None:
            return FileChanges(self.attributes)
        return FileChanges(self.attributes, to_chunking(self.chunking_strategy))


@router.post("/v1/vector_stores/{vector_store_id}/delete_by_filter")
async def delete_by_filter(
    vector_store_id: str, body: DeleteByFilterRequest, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Removes the matching files from the store; the uploads stay. From now on no search of the store returns them."""
    delete = services.corpus.filtered_files.delete
    num_files = await asyncio.to_thread(delete, tenant, vector_store_id, body.to_filter(), body.dry_run)
    return _to_result("vector_store.files.deleted", vector_store_id, num_files, body.dry_run)


@router.post("/v1/vector_stores/{vector_store_id}/update_by_filter")
async def update_by_filter(
    vector_store_id: str, body: UpdateByFilterRequest, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Changes the attributes or the chunking of the matching files. Only another chunking embeds a file again."""
    update, changes = services.corpus.filtered_files.update, body.to_changes()
    num_files = await asyncio.to_thread(update, tenant, vector_store_id, body.to_filter(), changes, body.dry_run)
    services.ingest.wake()
    return _to_result("vector_store.files.updated", vector_store_id, num_files, body.dry_run)


def _to_result(kind: str, vector_store_id: str, num_files: int, dry_run: bool) -> dict[str, Any]:
    return {"object": kind, "vector_store_id": vector_store_id, "num_files": num_files, "dry_run": dry_run}
