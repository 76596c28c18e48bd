"""The running service as a bulk run calls it: patient with a service that restarts or is full."""

import threading
import time
from collections.abc import Container, Mapping
from typing import Any

import httpx

from models.filters import Attributes
from serve.cli.remote import RemoteError, RemoteService, UnreachableError, error_message

FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 10.0
RETRIED = (429, 502, 503, 504)
ANY_STATUS = range(100, 600)
TIMEOUT_S = 300.0  # of one request: a large upload to a busy machine


class PatientService(RemoteService):
    """Repeats a request that was not answered, or refused for now. Every call of a bulk run may be repeated safely."""

    def __init__(self, url: str, patience_s: float) -> None:
        super().__init__(url, TIMEOUT_S)
        self._patience_s = patience_s
        self._stopped = threading.Event()

    def __enter__(self) -> "PatientService":
        return self

    def stop(self) -> None:
        """Let no thread wait any longer: a request that fails now fails for good."""
        self._stopped.set()

    def upload_content(self, content: bytes, filename: str, file_id: str | None = None) -> str:
        """Upload a new file, or the next version of `file_id`; returns the id. Raises RemoteError."""
        upload = {"file": (filename, content, "application/octet-stream")}
        if file_id is not None:
            return str(self._fields("PUT", f"/v1/files/{file_id}/content", files=upload)["id"])
        return str(self._fields("POST", "/v1/files", files=upload, data={"purpose": "assistants"})["id"])

    def attach_files(self, vector_store_id: str, attributes: Mapping[str, Attributes | None]) -> str:
        """Attach files by id, all or none, with their attributes; returns the batch id. Raises RemoteError."""
        files = [_item(file_id, values) for file_id, values in attributes.items()]
        path = f"/v1/vector_stores/{vector_store_id}/file_batches"
        return str(self._fields("POST", path, json={"files": files})["id"])

    def _request(self, method: str, path: str, allowed: Container[int] = (200,), **kwargs: Any) -> httpx.Response:
        end, pause_s = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        while True:
            is_last = time.monotonic() >= end or self._stopped.is_set()
            try:
                response = super()._request(method, path, ANY_STATUS, **kwargs)
            except UnreachableError as error:
                if is_last:
                    raise UnreachableError(f"{error}. Run the same command again to continue") from None
            else:
                if response.status_code in allowed:
                    return response
                if is_last or not _is_passing(response):
                    raise RemoteError(error_message(response))
                pause_s = max(pause_s, _retry_after_s(response))
            self._stopped.wait(pause_s)
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)


def _item(file_id: str, attributes: Attributes | None) -> dict[str, Any]:
    return {"file_id": file_id} if attributes is None else {"file_id": file_id, "attributes": dict(attributes)}


def _is_passing(response: httpx.Response) -> bool:
    """Whether the service may answer otherwise soon. An error without its error object is a proxy's, at a restart."""
    try:
        is_ours = "error" in response.json()
    except (ValueError, TypeError):
        is_ours = False
    return response.status_code in RETRIED or not is_ours


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(MAX_PAUSE_S, float(response.headers.get("retry-after", 0)))
    except ValueError:
        return 0.0
