"""The running service as an evaluation uses it: a vector store for each question set, and searches in it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from serve.cli.driver.question_set import Document, QuestionSet
from serve.cli.eval.modes import SearchBody
from serve.cli.remote import POLL_MAX_S, RemoteError, RemoteService

# One passage a document, as the public figures have it: no text of the known sets is longer.
STATIC_CHUNKING = {"type": "static", "static": {"max_chunk_size_tokens": 4096, "chunk_overlap_tokens": 0}}
CHUNKING: dict[str, dict[str, Any]] = {"static": STATIC_CHUNKING, "auto": {"type": "auto"}}
MAX_RESULTS = 50  # the API's own limit
FILES_A_BATCH = 100
MAX_ATTEMPTS = 10
PAGE_LIMIT = 100
# Ingestion that makes no progress for so long will make none.
STALL_S = 300.0

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Corpus:
    """A question set's documents as files of the service: `filenames` leads from a file's name to its document's id."""

    store_name: str
    filenames: dict[str, str]
    documents: tuple[Document, ...]
    chunking: str

    @staticmethod
    def of(questions: QuestionSet, chunking: str) -> "Corpus":
        """Every store has files of its own, so that deleting one leaves the others whole; other texts, other names."""
        own = [questions.digest, "auto"] if chunking == "auto" else [questions.digest]
        folder = "-".join([quote(questions.name, safe=""), *own])
        ids = [document.document_id for document in questions.documents]
        filenames = {f"{folder}/{quote(one, safe='')}.txt": one for one in ids}
        name = ":".join(["eval", questions.name, *own])
        return Corpus(name, filenames, questions.documents, chunking)


@dataclass(frozen=True)
class Found:
    """The documents that one search found, best first, each once; `is_degraded` if a stage was left out."""

    document_ids: tuple[str, ...]
    is_degraded: bool


class EvaluatedService(RemoteService):
    """What `ragserve eval` asks of a service. A refusal for want of room is waited out. Raises RemoteError."""

    def __enter__(self) -> Self:
        return self

    def ensure_indexed(self, corpus: Corpus, concurrency: int, on_progress: Progress) -> str:
        """The id of a vector store in which all of the documents are searchable; made, or completed, where it is not.

        `on_progress` gets the number of searchable documents, again and again.
        """
        store_id = self._find_store(corpus.store_name) or self._create_store(corpus.store_name)
        if not self._is_complete(store_id, corpus):
            self._fill(store_id, corpus, concurrency)
            self._wait(store_id, len(corpus.documents), on_progress)
        on_progress(len(corpus.documents))
        return store_id

    def search(self, store_id: str, corpus: Corpus, query: str, body: SearchBody) -> Found:
        """The best documents for a query: each where the first of its passages stands."""
        asked = {"query": query, "max_num_results": MAX_RESULTS, **body}
        found = self._send("POST", f"/v1/vector_stores/{store_id}/search", json=asked).json()
        names = dict.fromkeys(hit["filename"] for hit in found["data"])
        strangers = [name for name in names if name not in corpus.filenames]
        if strangers:
            raise RemoteError(f"{corpus.store_name} holds {strangers[0]!r}, which is not of the set; delete the store")
        return Found(tuple(corpus.filenames[name] for name in names), bool(found.get("degraded")))

    def delete_store(self, store_id: str, concurrency: int) -> None:
        """Deletes the store and every file in it."""
        file_ids = [file["id"] for file in self._pages(f"/v1/vector_stores/{store_id}/files")]
        self._send("DELETE", f"/v1/vector_stores/{store_id}")
        with ThreadPoolExecutor(concurrency) as pool:
            list(pool.map(self.delete_file, file_ids))

    def _find_store(self, name: str) -> str | None:
        return next((store["id"] for store in self._pages("/v1/vector_stores") if store["name"] == name), None)

    def _create_store(self, name: str) -> str:
        return self._send("POST", "/v1/vector_stores", json={"name": name}).json()["id"]

    def _is_complete(self, store_id: str, corpus: Corpus) -> bool:
        counts = self.vector_store(store_id)["file_counts"]
        return counts["completed"] == counts["total"] == len(corpus.documents)

    def _fill(self, store_id: str, corpus: Corpus, concurrency: int) -> None:
        """Uploads and attaches every document, batch by batch. Those that are there already are not taken in twice."""
        files = list(zip(corpus.filenames, corpus.documents, strict=True))
        with ThreadPoolExecutor(concurrency) as pool:
            for start in range(0, len(files), FILES_A_BATCH):
                file_ids = list(pool.map(self._upload, *zip(*files[start : start + FILES_A_BATCH], strict=True)))
                batch = {"file_ids": file_ids, "chunking_strategy": CHUNKING[corpus.chunking]}
                self._send("POST", f"/v1/vector_stores/{store_id}/file_batches", json=batch)

    def _upload(self, filename: str, document: Document) -> str:
        file = {"file": (filename, document.content.encode(), "text/plain")}
        return self._send("POST", "/v1/files", files=file, data={"purpose": "evals"}).json()["id"]

    def _wait(self, store_id: str, num_files: int, on_progress: Progress) -> None:
        """Returns once every file is searchable."""
        done, moved_at = -1, time.monotonic()
        while True:
            counts = self.vector_store(store_id)["file_counts"]
            if counts["total"] != num_files or counts["failed"] or counts["cancelled"]:
                raise RemoteError(f"{store_id} should hold {num_files} files; it has {counts}{self._failure(store_id)}")
            if counts["completed"] == num_files:
                return
            if counts["completed"] != done:
                done, moved_at = counts["completed"], time.monotonic()
                on_progress(done)
            if time.monotonic() - moved_at > STALL_S:
                raise RemoteError(f"{store_id}: no file became searchable for {STALL_S:g} s; it has {counts}")
            time.sleep(POLL_MAX_S)

    def _failure(self, store_id: str) -> str:
        """The end of a message: why the first of the failed files failed."""
        failed = self._pages(f"/v1/vector_stores/{store_id}/files", filter="failed")
        return next((f"; {file['id']}: {file['last_error']['message']}" for file in failed), "")

    def _pages(self, path: str, **params: str) -> Iterator[dict[str, Any]]:
        """Every item of a list call."""
        page: dict[str, Any] = {"last_id": None, "has_more": True}
        while page["has_more"]:
            after = {"after": page["last_id"]} if page["last_id"] else {}
            page = self._send("GET", path, params={"limit": PAGE_LIMIT, "order": "asc", **params, **after}).json()
            yield from page["data"]

    def _send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """The answer. One that says to come back later is heeded, MAX_ATTEMPTS times."""
        for _ in range(MAX_ATTEMPTS):
            response = self._request(method, path, allowed=(200, 429, 503), **kwargs)
            if response.status_code == 200:
                return response
            time.sleep(float(response.headers.get("retry-after", 1)))
        return self._request(method, path, **kwargs)
