"""A client of a running service, over HTTP."""

import json
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import httpx

from models.errors.base import RagError
from serve.cli.service_address import base_url, key_headers
from serve.cli.trust import CA_VARIABLE, trust

POLL_FIRST_S, POLL_MAX_S = 0.05, 1.0
PAGE_LIMIT, MAX_BATCH_FILES = 100, 500  # limits of the API
EVENT_STREAM = "text/event-stream"
LAST_EVENTS = ("done", "error")
# By OpenSSL's reason for the end of a handshake.
TLS_HINTS = {
    "WRONG_VERSION_NUMBER": "no TLS is spoken there; use http://",
    "CERTIFICATE_VERIFY_FAILED": f"{CA_VARIABLE} names the certificate of the authority, if it is your own",
}


class RemoteError(RagError):
    """The service refused a request, failed, or cannot be reached. The message is the service's own."""

    code = "remote_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class UnreachableError(RemoteError):
    """The service did not answer at all."""


class Fields(dict[str, Any]):
    """A JSON object of an answer. A field that it lacks is a RemoteError: ragserve would have sent it."""

    def __missing__(self, name: str) -> NoReturn:
        raise RemoteError(f"the answer has no field {name!r}; is the address that of another program?")


@dataclass(frozen=True)
class IngestedFile:
    """The result of one file's ingestion: `status` is completed, or failed with `error`.

    `omissions` and `warnings` are the parser's (models/corpus/parse_report.py).
    """

    filename: str
    status: str
    error: str | None = None
    omissions: Mapping[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()


class RemoteService:
    """The calls that the command line needs. Thread-safe; its `with` block closes it.

    The API key comes from the environment variable RAGSERVE_API_KEY, and RAGSERVE_CA_FILE names the certificate of the
    authority that signed the service's.
    """

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        """Raises ConfigError for an address, a key or a file of certificates that cannot be right."""
        self.url = base_url(url)
        self._http = httpx.Client(
            base_url=self.url, timeout=timeout_s, trust_env=False, headers=key_headers(), verify=trust(self.url)
        )

    def __enter__(self) -> "RemoteService":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def check_key(self) -> None:
        """Raises RemoteError if the service refuses the key, or does not answer."""
        self._request("GET", "/v1/models")

    def readiness(self) -> dict[str, Any]:
        """The body of /readyz, whether the service is ready or not. Raises RemoteError."""
        body = self._fields("GET", "/readyz", allowed=(200, 503))
        if "stages" not in body and "error" in body:  # of HAProxy: no ingress is there yet
            raise RemoteError(f"{self.url} is not ready: {body['error']['message']}")
        return body

    def wait_until_ready(self, timeout_s: float) -> None:
        """Wait until answers are whole. Raises RemoteError."""
        self._poll_readiness(timeout_s, _missing)

    def wait_until_swapped(self, timeout_s: float) -> None:
        """Wait until every stage answers and no stage is loading a model. Raises RemoteError."""
        self._poll_readiness(timeout_s, lambda readiness: _unready(readiness) + _loading(readiness))

    def _poll_readiness(self, timeout_s: float, pending_in: Callable[[dict[str, Any]], list[str]]) -> None:
        """Wait until `pending_in`, applied to the body of /readyz, returns no stage."""
        end = time.monotonic() + timeout_s
        last = "no answer"
        while time.monotonic() < end:
            try:
                pending = pending_in(self.readiness())
                if not pending:
                    return
                last = ", ".join(pending)
            except (RemoteError, ValueError, KeyError) as error:
                last = str(error)
            time.sleep(POLL_FIRST_S)
        raise RemoteError(f"{self.url} is not ready after {timeout_s:g} s; waiting for {last}")

    def vector_store(self, vector_store_id: str) -> dict[str, Any]:
        return self._fields("GET", f"/v1/vector_stores/{vector_store_id}")

    def file_ids_by_name(self) -> dict[str, list[str]]:
        """The ids of all uploaded files by file name, newest last."""
        ids: dict[str, list[str]] = {}
        for file in self.pages("/v1/files", order="asc"):
            ids.setdefault(file["filename"], []).append(file["id"])
        return ids

    def upload(self, path: Path, filename: str, file_id: str | None = None) -> str:
        """Upload a new file, or the next version of `file_id`; returns the id. Raises RemoteError, OSError."""
        with path.open("rb") as content:
            upload = {"file": (filename, content, "application/octet-stream")}
            if file_id is not None:
                return self._fields("PUT", f"/v1/files/{file_id}/content", files=upload)["id"]
            return self._fields("POST", "/v1/files", files=upload, data={"purpose": "assistants"})["id"]

    def ingest(self, path: Path, filename: str, vector_store_id: str) -> tuple[str, IngestedFile]:
        """Upload a file, attach it to the store and wait; returns its id and the result. Raises RemoteError."""
        file_id = self.upload(path, filename)
        self.await_batch(vector_store_id, self.attach(vector_store_id, [file_id]), lambda _: None)
        attached = self._fields("GET", f"/v1/vector_stores/{vector_store_id}/files/{file_id}")
        return file_id, IngestedFile(filename, attached["status"], _last_error(attached))

    def attach(self, vector_store_id: str, file_ids: Sequence[str]) -> str:
        """Attach up to MAX_BATCH_FILES files to the store, all or none; returns the batch id. Raises RemoteError."""
        path = f"/v1/vector_stores/{vector_store_id}/file_batches"
        return self._fields("POST", path, json={"file_ids": list(file_ids)})["id"]

    def await_batch(self, vector_store_id: str, batch_id: str, on_progress: Callable[[int], None]) -> dict[str, str]:
        """Wait until no file of the batch is in progress; returns the failures: error by file id. Raises RemoteError.

        `on_progress` gets the number of finished files at each poll.
        """
        delay = POLL_FIRST_S
        while True:
            counts = self.batch(vector_store_id, batch_id)["file_counts"]
            on_progress(counts["total"] - counts["in_progress"])
            if not counts["in_progress"]:
                return self.batch_failures(vector_store_id, batch_id)
            time.sleep(delay)
            delay = min(delay * 1.5, POLL_MAX_S)

    def batch(self, vector_store_id: str, batch_id: str) -> dict[str, Any]:
        """The state of a file batch. Raises RemoteError."""
        path = f"/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}"
        state: dict[str, Any] = self._fields("GET", path)
        return state

    def batch_failures(self, vector_store_id: str, batch_id: str) -> dict[str, str]:
        """The errors of the batch's files that failed or were cancelled, by file id. Raises RemoteError."""
        path = f"/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files"
        failed = (self.pages(path, filter=status) for status in ("failed", "cancelled"))
        return {file["id"]: _last_error(file) or file["status"] for file in chain.from_iterable(failed)}

    def parse_reports(self, vector_store_id: str, batch_id: str) -> dict[str, dict[str, Any]]:
        """What the parser reports of the searchable files of a batch, by file id. Raises RemoteError."""
        path = f"/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/files"
        return {file["id"]: file.get("parse_report") or {} for file in self.pages(path, filter="completed")}

    def pages(self, path: str, **params: str) -> Iterator[dict[str, Any]]:
        """Every item of a list endpoint, page by page. Raises RemoteError."""
        page: dict[str, Any] = {"last_id": None, "has_more": True}
        while page["has_more"]:
            after = {"after": page["last_id"]} if page["last_id"] else {}
            page = self._fields("GET", path, params={"limit": PAGE_LIMIT, **params, **after})
            yield from page["data"]

    def change_by_filter(self, vector_store_id: str, action: str, body: dict[str, Any]) -> int:
        """Delete or update the files of a store that match; returns their number. Raises RemoteError."""
        path = f"/v1/vector_stores/{vector_store_id}/{action}_by_filter"
        num_files: int = self._fields("POST", path, json=body)["num_files"]
        return num_files

    def replay(self, selection: dict[str, str]) -> int:
        """Ingest the selected dead letters again; returns how many. Raises RemoteError."""
        return self._fields("POST", "/v1/dead_letters/replay", json=selection)["replayed"]

    def filename(self, file_id: str) -> str:
        name: str = self._fields("GET", f"/v1/files/{file_id}")["filename"]
        return name

    def text(self, file_id: str) -> str:
        """The extracted text of a file. Raises RemoteError."""
        return self._request("GET", f"/v1/files/{file_id}/text").text

    def delete_file(self, file_id: str) -> None:
        self._request("DELETE", f"/v1/files/{file_id}")

    def ask(self, question: str, vector_store_id: str, top_k: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events of /v1/query as they arrive: (name, data). Raises RemoteError."""
        body = {"query": question, "stream": True, "vector_store_ids": [vector_store_id], "top_k": top_k}
        try:
            with self._http.stream("POST", "/v1/query", json=body) as response:
                if not response.headers.get("content-type", "").startswith(EVENT_STREAM):
                    response.read()
                    raise RemoteError(error_message(response))
                yield from _whole(_server_sent_events(response.iter_lines()))
        except httpx.HTTPError as error:
            raise RemoteError(_connection_message(self.url, error)) from None

    def _fields(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """The JSON object that answers. Raises RemoteError, also for what is none."""
        response = self._request(method, path, **kwargs)
        try:
            body = response.json(object_hook=Fields)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise RemoteError(f"{method} {self.url}{path} is not answered with JSON; is that another program?")
        return body

    def _request(self, method: str, path: str, allowed: Container[int] = (200,), **kwargs: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise UnreachableError(_connection_message(self.url, error)) from None
        if response.status_code not in allowed:
            raise RemoteError(error_message(response))
        return response


def form_name(filename: str) -> str:
    """The file name as the service stores it: quotes, control characters and bytes that are not UTF-8 become `%22`.

    A form's header cannot carry them. Source: WHATWG HTML, multipart/form-data encoding.
    """
    return "".join(map(_form_character, filename))


def _form_character(character: str) -> str:
    code = ord(character)
    if character == '"' or code < 0x20 or code == 0x7F:
        return f"%{code:02X}"
    # os.listdir stands for the byte FF by the surrogate U+DCFF.
    return f"%{code & 0xFF:02X}" if 0xD800 <= code <= 0xDFFF else character


def _connection_message(url: str, error: httpx.HTTPError) -> str:
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        hint = next((hint for name, hint in TLS_HINTS.items() if name in reason), "is `ragserve up` running?")
        return f"cannot connect to {url}: {reason}; {hint}"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and url.startswith("http://"):
        return f"the request to {url} failed: {reason}; if the service has a certificate, use https://"
    return f"the request to {url} failed: {reason}"


def _missing(readiness: dict[str, Any]) -> list[str]:
    """What answers lack, in words."""
    return [] if readiness["ready"] else list(readiness["missing"])


def _unready(readiness: dict[str, Any]) -> list[str]:
    """Names of the stages that do not answer."""
    return [name for name, stage in readiness["stages"].items() if not stage["ready"]]


def _loading(readiness: dict[str, Any]) -> list[str]:
    """`stage: model` of the stages that are loading a model."""
    return [f"{name}: {stage['loading']}" for name, stage in readiness["stages"].items() if stage["loading"]]


def _last_error(file: dict[str, Any]) -> str | None:
    return file["last_error"]["message"] if file["last_error"] else None


def error_message(response: httpx.Response) -> str:
    """The error's message, or the status where the body is not one of the API's errors."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code} from {response.request.url}"


def _whole(events: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of an answer. Raises RemoteError if the last one is missing, or one is no JSON."""
    name = ""
    try:
        for name, body in events:
            yield name, body
    except ValueError:
        raise RemoteError("the answer has an event that is not JSON; is the address that of another program?") from None
    if name not in LAST_EVENTS:
        raise RemoteError("the answer ended before it was whole; ask again")


def _server_sent_events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Events of a text/event-stream body: (name, data). Source: WHATWG HTML, section 9.2."""
    event, data = "message", list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        if name == "event":
            event = value.strip()
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield event, json.loads("\n".join(data), object_hook=Fields)
            event, data = "message", []
