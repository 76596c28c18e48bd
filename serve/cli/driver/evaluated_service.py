"""The running service with a question set in it: a vector store for each set, and searches in it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx

from serve.cli.driver.question_set import Document, QuestionSet
from serve.cli.remote import POLL_MAX_S, RemoteError, RemoteService

# One passage a document, as in the public figures: no text of the usual sets is longer.
STATIC_CHUNKING = {"type": "static", "static": {"max_chunk_size_tokens": 4096, "chunk_overlap_tokens": 0}}
# What `--chunking all` compares: chunks of about one size, as far as a strategy has one.
STRATEGIES: dict[str, dict[str, Any]] = {
    "structure": {"type": "structure"},
    "fixed_tokens": {"type": "static", "static": {"max_chunk_size_tokens": 220, "chunk_overlap_tokens": 32}},
    "sentence_window": {"type": "sentence_window"},
    "semantic": {"type": "semantic"},
    "parent_child": {"type": "parent_child"},
    "contextual_headers": {"type": "contextual_headers"},
}
CHUNKING: dict[str, dict[str, Any]] = {"static": STATIC_CHUNKING, "auto": {"type": "auto"}, **STRATEGIES}
NUM_TEXTS = 5
MAX_RESULTS = 50  # the API's own limit
FILES_PER_BATCH = 100
MAX_ATTEMPTS = 10
PAGE_LIMIT = 100
# Ingestion without progress for this time is taken to have failed.
STALL_S = 300.0

Progress = Callable[[int], None]
SearchBody = dict[str, Any]  # the fields of a search besides its query


@dataclass(frozen=True)
class Corpus:
    """The documents of a question set as files of the service; `filenames` maps a file's name to its document's id."""

    store_name: str
    filenames: dict[str, str]
    documents: tuple[Document, ...]
    chunking: str

    @staticmethod
    def of(questions: QuestionSet, chunking: str) -> "Corpus":
        """Every store has its own files, so that one can be deleted alone. Other texts get other names."""
        versions = [questions.digest] if chunking == "static" else [questions.digest, chunking]
        folder = "-".join([quote(questions.name, safe=""), *versions])
        ids = [document.document_id for document in questions.documents]
        filenames = {f"{folder}/{quote(document_id, safe='')}.txt": document_id for document_id in ids}
        name = ":".join(["eval", questions.name, *versions])
        return Corpus(name, filenames, questions.documents, chunking)


@dataclass(frozen=True)
class SearchOutcome:
    """The documents of one search, best first, each once; `is_degraded` if a stage was skipped.

    `texts` are the best NUM_TEXTS passages, as they are shown.
    """

    document_ids: tuple[str, ...]
    is_degraded: bool
    texts: tuple[str, ...] = ()


class EvaluatedService(RemoteService):
    """Indexes and searches a question set. Requests refused for overload are repeated. Raises RemoteError."""

    def __enter__(self) -> Self:
        return self

    def ensure_indexed(self, corpus: Corpus, concurrency: int, on_progress: Progress) -> str:
        """Makes all documents searchable, and returns the id of their vector store. An existing store is completed.

        `on_progress` is called with the number of searchable documents.
        """
        store_id = self._find_store(corpus.store_name) or self._create_store(corpus.store_name)
        if not self._is_complete(store_id, corpus):
            self._fill(store_id, corpus, concurrency)
            self._wait(store_id, len(corpus.documents), on_progress)
        on_progress(len(corpus.documents))
        return store_id

    def search(self, store_id: str, corpus: Corpus, query: str, body: SearchBody) -> SearchOutcome:
        """The best documents for a query, each at the place of its first passage."""
        search = {"query": query, "max_num_results": MAX_RESULTS, **body}
        page = self._send("POST", f"/v1/vector_stores/{store_id}/search", json=search).json()
        names = dict.fromkeys(hit["filename"] for hit in page["data"])
        strangers = [name for name in names if name not in corpus.filenames]
        if strangers:
            raise RemoteError(f"{corpus.store_name} has {strangers[0]!r}, which is not in the set; delete the store")
        texts = tuple(hit["content"][0]["text"] for hit in page["data"][:NUM_TEXTS])
        return SearchOutcome(tuple(corpus.filenames[name] for name in names), bool(page.get("degraded")), texts)

    def passages(self, store_id: str, query: str, num_results: int) -> list[str]:
        """The texts of the best passages for a query."""
        search = {"query": query, "max_num_results": num_results}
        page = self._send("POST", f"/v1/vector_stores/{store_id}/search", json=search).json()
        return [content["text"] for hit in page["data"] for content in hit["content"]]

    def index_size(self, store_id: str) -> dict[str, int]:
        """`num_chunks`, their `num_tokens`, and `num_bytes`."""
        size: dict[str, int] = self._send("GET", f"/v1/vector_stores/{store_id}/index").json()
        return size

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """OpenAI's chat completion."""
        completion: dict[str, Any] = self._send("POST", "/v1/chat/completions", json=body).json()
        return completion

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
        """Uploads and attaches every document, batch by batch. Documents that are there already stay as they are."""
        files = list(zip(corpus.filenames, corpus.documents, strict=True))
        with ThreadPoolExecutor(concurrency) as pool:
            for start in range(0, len(files), FILES_PER_BATCH):
                file_ids = list(pool.map(self._upload, *zip(*files[start : start + FILES_PER_BATCH], strict=True)))
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
        """The end of an error message: the first failed file and its error."""
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
        """The answer. A request refused with 429 or 503 is repeated after its Retry-After, MAX_ATTEMPTS times."""
        for _ in range(MAX_ATTEMPTS):
            response = self._request(method, path, allowed=(200, 429, 503), **kwargs)
            if response.status_code == 200:
                return response
            time.sleep(float(response.headers.get("retry-after", 1)))
        return self._request(method, path, **kwargs)
