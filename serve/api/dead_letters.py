"""/v1/dead_letters: files whose ingestion failed for good, and their replay. Our own; OpenAI's API has no such list."""

import asyncio
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.corpus.dead_letters import DeadLetter, Selection
from models.corpus.failures import FailureReason
from serve.api.ids import VectorStoreId
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep, TenantRoute

router = APIRouter(route_class=TenantRoute)


class ReplayRequest(BaseModel):
    """Which dead letters to ingest again. Set at least one field; a dead letter must match every field that is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = Field(default=None, min_length=1, max_length=128)
    vector_store_id: VectorStoreId | None = None
    reason: FailureReason | None = None

    @model_validator(mode="after")
    def _selects_something(self) -> Self:
        if (self.id, self.vector_store_id, self.reason) == (None, None, None):
            raise ValueError("set id, vector_store_id or reason")
        return self


@router.get("/v1/dead_letters")
async def list_dead_letters(
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    vector_store_id: Annotated[str | None, Query(max_length=128)] = None,
    reason: FailureReason | None = None,
) -> dict[str, Any]:
    """Lists the files that failed for good, newest first: of one vector store, or of one reason, if set."""
    selection = Selection(vector_store_id=vector_store_id, reason=reason)
    letters = await asyncio.to_thread(services.corpus.dead_letters.page, tenant, selection, page)
    return to_list(letters, to_dead_letter)


@router.post("/v1/dead_letters/replay")
async def replay_dead_letters(body: ReplayRequest, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Ingests the selected files again. A file that is already in progress is left alone, so a repeat is harmless."""
    selection = Selection(body.id, body.vector_store_id, body.reason)
    num_replayed = await asyncio.to_thread(services.corpus.dead_letters.replay, tenant, selection)
    services.ingest.wake()
    return {"object": "dead_letter.replay", "replayed": num_replayed}


def to_dead_letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.dead_letter_id,
        "object": "dead_letter",
        "vector_store_id": letter.vector_store_id,
        "file_id": letter.file_id,
        "filename": letter.filename,
        "reason": letter.reason,
        "last_error": {"code": letter.code, "message": letter.message},
        "attempts": letter.num_attempts,
        "failed_at": letter.failed_at,
    }
