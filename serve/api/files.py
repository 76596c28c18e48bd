"""/v1/files in OpenAI's shape. Versions and the extracted text, which citations refer to, are our own."""

import asyncio
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Query, Request, Response, UploadFile
from starlette.datastructures import UploadFile as FormFile

from models.corpus.records import File, FileVersion
from models.documents.readable import check_readable
from models.errors.requests import InvalidRequestError, PayloadTooLargeError
from serve.api.lists import FilesPageDep, to_list
from serve.api.request_limits import storing
from serve.api.request_names import check_form, is_multipart
from serve.api.services import CallerDep, Services, ServicesDep, TenantDep, TenantRoute
from serve.pipelines.blob_threads import in_blob_thread

router = APIRouter(route_class=TenantRoute)

# What OpenAI's clients may send. All have the same effect here.
Purpose = Literal["assistants", "user_data", "batch", "fine-tune", "vision", "evals"]
REPLACE_FIELDS = frozenset(["file"])
Filename = Annotated[str | None, Query(min_length=1, max_length=1024)]
Version = Annotated[int, Path(ge=1, le=2**31 - 1, description="Counts the contents of the file, from 1.")]
StoreId = Annotated[str | None, Query(min_length=1, max_length=128)]
ExpiryAnchor = Annotated[Literal["created_at"] | None, Form(alias="expires_after[anchor]")]
ExpirySeconds = Annotated[int | None, Form(alias="expires_after[seconds]", ge=3600, le=30 * 24 * 3600)]


@router.post("/v1/files")
async def upload_file(
    services: ServicesDep,
    caller: CallerDep,
    file: UploadFile,
    purpose: Annotated[Purpose, Form()] = "assistants",
    anchor: ExpiryAnchor = None,
    seconds: ExpirySeconds = None,
) -> dict[str, Any]:
    """Stores a file durably before the response. The same name and bytes return the existing file, unchanged.

    A file that no parser reads is refused.
    """
    expires_at = _expires_at(anchor, seconds)
    limit = services.settings.api.max_upload_bytes
    content = _checked(await file.read(limit + 1), limit)
    name = file.filename or "upload"
    check_readable(content, name, services.catalog)
    async with storing(services.limits, services.stored_limits, caller, len(content)):
        add = services.corpus.files.add
        return to_file(await in_blob_thread(add, caller.tenant, name, content, purpose, expires_at))


@router.get("/v1/files")
async def list_files(
    services: ServicesDep, tenant: TenantDep, page: FilesPageDep, purpose: str | None = None, filename: Filename = None
) -> dict[str, Any]:
    """Lists all files, or those of one purpose or one name."""
    return to_list(await asyncio.to_thread(services.corpus.files.page, tenant, page, purpose, filename), to_file)


@router.get("/v1/files/{file_id}")
async def get_file(file_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Describes a file: its name, size and version."""
    return to_file(await asyncio.to_thread(services.corpus.files.get, tenant, file_id))


@router.delete("/v1/files/{file_id}")
async def delete_file(file_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes the file and removes it from every vector store: from now on no search returns it."""
    await in_blob_thread(services.corpus.files.delete, tenant, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/v1/files/{file_id}/content")
async def get_content(file_id: str, services: ServicesDep, tenant: TenantDep) -> Response:
    """Returns the bytes of the newest version, as they were uploaded."""
    content = await in_blob_thread(services.corpus.files.content, tenant, file_id)
    return _download(content)


@router.put("/v1/files/{file_id}/content")
async def replace_content(
    file_id: str,
    request: Request,
    services: ServicesDep,
    tenant: TenantDep,
    caller: CallerDep,
    filename: Filename = None,
) -> dict[str, Any]:
    """Uploads the file's next version: the raw body, or `file` of a multipart form. `filename` renames the file.

    Vector stores with this file return the previous version until the new one is ingested.
    """
    # Refuse an unknown file before its body is read.
    stored = await asyncio.to_thread(services.corpus.files.get, tenant, file_id)
    limit = services.settings.api.max_upload_bytes
    content = _checked(await _read(request, limit), limit)
    check_readable(content, filename or stored.filename, services.catalog)
    async with storing(services.limits, services.stored_limits, caller, len(content), _freed_bytes(services, stored)):
        replaced = await in_blob_thread(services.corpus.files.replace, tenant, file_id, content, filename)
    services.ingest.wake()
    return to_file(replaced)


@router.get("/v1/files/{file_id}/versions")
async def list_versions(file_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Lists the newest version, then the earlier ones that `storage.keep_file_versions` keeps."""
    versions = await asyncio.to_thread(services.corpus.files.versions, tenant, file_id)
    return {"object": "list", "data": [_to_version(file_id, version) for version in versions], "has_more": False}


@router.get("/v1/files/{file_id}/versions/{version}/content")
async def get_version_content(file_id: str, version: Version, services: ServicesDep, tenant: TenantDep) -> Response:
    """Returns the bytes of a version, as they were uploaded."""
    return _download(await in_blob_thread(services.corpus.files.version_content, tenant, file_id, version))


@router.post("/v1/files/{file_id}/versions/{version}/restore")
async def restore_version(
    file_id: str, version: Version, services: ServicesDep, tenant: TenantDep, caller: CallerDep
) -> dict[str, Any]:
    """Makes the name and the content of an earlier version the file's next version.

    Vector stores with this file return the version before until it is ingested.
    """
    stored = await asyncio.to_thread(services.corpus.files.get, tenant, file_id)
    earlier = await asyncio.to_thread(services.corpus.files.earlier_version, tenant, file_id, version)
    freed_bytes = _freed_bytes(services, stored)
    async with storing(services.limits, services.stored_limits, caller, earlier.size_bytes, freed_bytes):
        restored = await in_blob_thread(services.corpus.files.restore, tenant, file_id, version)
    services.ingest.wake()
    return to_file(restored)


@router.get("/v1/files/{file_id}/text")
async def get_text(file_id: str, services: ServicesDep, tenant: TenantDep, vector_store_id: StoreId = None) -> Response:
    """Returns the extracted text. The `start` and `end` of a citation count its characters (Unicode code points).

    `vector_store_id`: as this store searches it. Without it, personal data are masked if any store masks them.
    """
    text = await asyncio.to_thread(services.corpus.files.text, tenant, file_id, vector_store_id)
    return Response(text, media_type="text/plain", headers={"x-content-type-options": "nosniff"})


def _freed_bytes(services: Services, replaced: File) -> int:
    """What a replacement frees: nothing, if the version before is kept."""
    return 0 if services.settings.storage.keep_file_versions else replaced.size_bytes


def _download(content: bytes) -> Response:
    # A browser must not run these bytes: anyone may have uploaded them.
    return Response(content, media_type="application/octet-stream", headers={"content-disposition": "attachment"})


def _to_version(file_id: str, version: FileVersion) -> dict[str, Any]:
    return {
        "object": "file.version",
        "file_id": file_id,
        "version": version.version,
        "filename": version.filename,
        "bytes": version.size_bytes,
        "sha256": version.sha256,
        "replaced_at": version.replaced_at,
    }


def _expires_at(anchor: str | None, seconds: int | None) -> int | None:
    if (anchor is None) != (seconds is None):
        raise InvalidRequestError("expires_after needs both anchor and seconds", "expires_after")
    return None if seconds is None else int(time.time()) + seconds


async def _read(request: Request, limit: int) -> bytes:
    """The body, or the file in its form. Keeps at most one byte more than the limit in memory."""
    if is_multipart(request):
        await check_form(request, REPLACE_FIELDS)
        async with request.form() as form:
            file = form.get("file")
            if not isinstance(file, FormFile):
                raise InvalidRequestError("the form has no field `file` with a file", "file")
            return await file.read(limit + 1)
    content = bytearray()
    async for block in request.stream():
        content += block[: limit + 1 - len(content)]
    return bytes(content)


def _checked(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise PayloadTooLargeError(f"the file is larger than {limit} bytes; split it into smaller files", "file")
    if not content:
        raise InvalidRequestError("the file is empty", "file")
    return content


def to_file(file: File) -> dict[str, Any]:
    """OpenAI's object. A field that OpenAI's description does not let be null is left out."""
    expiry = {} if file.expires_at is None else {"expires_at": file.expires_at}
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "version": file.version,
        "sha256": file.sha256,
        **expiry,
    }
