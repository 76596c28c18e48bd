"""A running service, as the command line sees it: over HTTP, like any other client."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from models.errors import RagError

POLL_FIRST_S, POLL_MAX_S = 0.05, 1.0


class RemoteError(RagError):
    """The service refused, failed or could not be reached; the message is its own."""

    code = "remote_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class IngestedFile:
    """How one file's ingestion ended: `status` is completed, or failed with `error`."""

    filename: str
    status: str
    error: str | None = None


class RemoteService:
    """Calls of the API that the command line needs. Safe to share between threads; closed by its `with` block."""

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout_s, trust_env=False)

    def __enter__(self) -> "RemoteService":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def readiness(self) -> dict[str, Any]:
        """/readyz's body, ready or not. Raises RemoteError."""
        return self._request("GET", "/readyz", allowed=(200, 503)).json()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Returns once every stage answers. Raises RemoteError."""
        end = time.monotonic() + timeout_s
        last = "no answer"
        while time.monotonic() < end:
            try:
                readiness = self.readiness()
                if readiness["ready"]:
                    return
                last = ", ".join(name for name, stage in readiness["stages"].items() if not stage["ready"])
            except (RemoteError, ValueError, KeyError) as error:
                last = str(error)
            time.sleep(POLL_FIRST_S)
        raise RemoteError(f"{self.url} is not ready after {timeout_s:g} s; waiting for {last}")

    def vector_store(self, vector_store_id: str) -> dict[str, Any]:
        return self._request("GET", f"/v1/vector_stores/{vector_store_id}").json()

    def file_ids_by_name(self) -> dict[str, set[str]]:
        """Every uploaded file's ids by its name."""
        ids: dict[str, set[str]] = {}
        page: dict[str, Any] = {"last_id": None, "has_more": True}
        while page["has_more"]:
            query = {"limit": 100, "order": "asc"} | ({"after": page["last_id"]} if page["last_id"] else {})
            page = self._request("GET", "/v1/files", params=query).json()
            for file in page["data"]:
                ids.setdefault(file["filename"], set()).add(file["id"])
        return ids

    def ingest(self, path: Path, filename: str, vector_store_id: str) -> tuple[str, IngestedFile]:
        """Uploads the file, puts it into the store and waits: its id, and how it ended. Raises RemoteError."""
        with path.open("rb") as content:
            upload = {"file": (filename, content, "application/octet-stream")}
            file_id = self._request("POST", "/v1/files", files=upload, data={"purpose": "assistants"}).json()["id"]
        files = f"/v1/vector_stores/{vector_store_id}/files"
        attached = self._request("POST", files, json={"file_id": file_id}).json()
        delay = POLL_FIRST_S
        while attached["status"] == "in_progress":
            time.sleep(delay)
            delay = min(delay * 1.5, POLL_MAX_S)
            attached = self._request("GET", f"{files}/{file_id}").json()
        error = attached["last_error"]["message"] if attached["last_error"] else None
        return file_id, IngestedFile(filename, attached["status"], error)

    def delete_file(self, file_id: str) -> None:
        self._request("DELETE", f"/v1/files/{file_id}")

    def ask(self, question: str, vector_store_id: str, top_k: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events of /v1/query as they come: (name, data). Raises RemoteError."""
        body = {"query": question, "stream": True, "vector_store_ids": [vector_store_id], "top_k": top_k}
        try:
            with self._http.stream("POST", "/v1/query", json=body) as response:
                if response.is_error:
                    response.read()
                    raise RemoteError(_message(response))
                yield from _server_sent_events(response.iter_lines())
        except httpx.HTTPError as error:
            raise RemoteError(f"{self.url}: {error or type(error).__name__}") from None

    def _request(self, method: str, path: str, allowed: tuple[int, ...] = (200,), **kwargs: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise RemoteError(f"{self.url}: {error or type(error).__name__}; is `ragserve up` running?") from None
        if response.status_code not in allowed:
            raise RemoteError(_message(response))
        return response


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code} from {response.request.url}"


def _server_sent_events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    event, data = "message", list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        if name == "event":
            event = value.strip()
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield event, json.loads("\n".join(data))
            event, data = "message", []
