"""/v1/files in OpenAI's shape, and each file's extracted text, which citations point into."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Response, UploadFile

from models.corpus.records import File
from models.errors import InvalidRequestError, PayloadTooLargeError
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep

router = APIRouter()

# What OpenAI's clients may send; all mean the same here.
Purpose = Literal["assistants", "user_data", "batch", "fine-tune", "vision", "evals"]


@router.post("/v1/files")
async def upload_file(
    services: ServicesDep,
    tenant: TenantDep,
    file: UploadFile,
    purpose: Annotated[Purpose, Form()] = "assistants",
) -> dict[str, Any]:
    """Stores a file durably before it answers. The same name and bytes again are the same file."""
    limit = services.settings.api.max_upload_bytes
    # One byte past the limit tells enough; the rest is never read into memory.
    content = await file.read(limit + 1)
    if len(content) > limit:
        raise PayloadTooLargeError(f"the file is larger than {limit} bytes; split it", "file")
    if not content:
        raise InvalidRequestError("the file is empty", "file")
    name = file.filename or "upload"
    return to_file(await asyncio.to_thread(services.corpus.files.add, tenant, name, content, purpose))


@router.get("/v1/files")
async def list_files(
    services: ServicesDep, tenant: TenantDep, page: PageDep, purpose: str | None = None
) -> dict[str, Any]:
    return to_list(await asyncio.to_thread(services.corpus.files.page, tenant, page, purpose), to_file)


@router.get("/v1/files/{file_id}")
async def get_file(file_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    return to_file(await asyncio.to_thread(services.corpus.files.get, tenant, file_id))


@router.delete("/v1/files/{file_id}")
async def delete_file(file_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes the file and takes it out of every vector store: no search finds it from now on."""
    await asyncio.to_thread(services.corpus.files.delete, tenant, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/v1/files/{file_id}/content")
async def get_content(file_id: str, services: ServicesDep, tenant: TenantDep) -> Response:
    """The bytes as they were uploaded."""
    content = await asyncio.to_thread(services.corpus.files.content, tenant, file_id)
    # Never a type that a browser would run: these bytes are a stranger's.
    return Response(content, media_type="application/octet-stream", headers={"content-disposition": "attachment"})


@router.get("/v1/files/{file_id}/text")
async def get_text(file_id: str, services: ServicesDep, tenant: TenantDep) -> Response:
    """The extracted text. A citation's `start` and `end` count its characters (Unicode code points)."""
    text = await asyncio.to_thread(services.corpus.files.text, tenant, file_id)
    return Response(text, media_type="text/plain", headers={"x-content-type-options": "nosniff"})


def to_file(file: File) -> dict[str, Any]:
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": file.created_at,
        "expires_at": None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
