"""One document on its way to the service: skip it, upload it, or upload it as the next version of a file."""

import hashlib
from dataclasses import dataclass

from models.filters import Attributes
from serve.cli.ingest.bulk.documents import SourceDocument
from serve.cli.ingest.bulk.service import PatientService
from serve.cli.ingest.bulk.uploaded import Uploaded, UploadedFiles
from serve.cli.remote import RemoteError, UnreachableError


@dataclass(frozen=True)
class Upload:
    """A document whose bytes the service has. `older_ids`: files of the same name, which it replaces."""

    name: str
    file_id: str
    attributes: Attributes | None
    older_ids: tuple[str, ...]
    is_unchanged: bool


@dataclass(frozen=True)
class FailedUpload:
    """A document that could not be read, or that the service refused."""

    name: str
    reason: str


def upload(
    document: SourceDocument, earlier: Uploaded | None, service: PatientService, uploaded: UploadedFiles
) -> Upload | FailedUpload:
    """Bring the document's bytes to the service, if they are not there. Raises UnreachableError.

    `earlier`: the uploads of its name.
    """
    try:
        content = document.read()
    except Exception as error:  # noqa: BLE001, each storage's client has errors of its own
        return FailedUpload(document.name, f"cannot be read: {error}")
    try:
        return _upload(document, content, earlier, service, uploaded)
    except UnreachableError:
        raise
    except RemoteError as error:
        return FailedUpload(document.name, str(error))


def _upload(
    document: SourceDocument, content: bytes, earlier: Uploaded | None, service: PatientService, uploaded: UploadedFiles
) -> Upload:
    digest = hashlib.sha256(content).hexdigest()
    older_ids = () if earlier is None else earlier.older_ids
    if earlier is not None and earlier.sha256 == digest:
        is_unchanged = uploaded.is_searchable(earlier.file_id, document.attributes)
        return Upload(document.name, earlier.file_id, document.attributes, older_ids, is_unchanged)
    file_id = service.upload_content(content, document.name, None if earlier is None else earlier.file_id)
    return Upload(document.name, file_id, document.attributes, older_ids, is_unchanged=False)
