"""ragserve under ingestion: its time, the memory of its processes, and the questions that it answers meanwhile."""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from rich.console import Console

from models.errors.base import RagError
from serve.cli.bench.ingest.rows import QuestionRow, Row
from serve.cli.driver.closed_loop import percentile
from serve.cli.driver.process_cpu import process_name
from serve.cli.driver.servers import OURS, Server
from serve.cli.ingest.files import ingest_files
from serve.cli.remote import RemoteError, RemoteService

SAMPLE_S = 0.5
TIMEOUT_S = 300.0  # of one request
MIN_SHOWN_MB = 20.0  # smaller processes are left out
IDLE_S = 15.0
TOP_K = 5


class IngestedService(RemoteService):
    """A running service with vector stores of its own. Raises RemoteError."""

    def __init__(self, url: str) -> None:
        super().__init__(url, TIMEOUT_S)

    def __enter__(self) -> "IngestedService":
        return self

    def create_store(self, name: str) -> str:
        return str(self._request("POST", "/v1/vector_stores", json={"name": name}).json()["id"])

    def ingest_folder(self, folder: Path, store_id: str) -> float:
        """Seconds until all files are searchable, as `ragserve ingest` does it. Raises RemoteError for a failed one."""
        start = time.perf_counter()
        failed = ingest_files(self, [folder], store_id, Console(quiet=True))
        if failed:
            raise RemoteError(f"{len(failed)} files failed, the first with: {failed[0].error}")
        return time.perf_counter() - start

    def count_chunks(self, store_id: str) -> int:
        files = self.pages(f"/v1/vector_stores/{store_id}/files")
        paths = (f"/v1/vector_stores/{store_id}/files/{file['id']}/content" for file in files)
        return sum(len(self._request("GET", path).json()["data"]) for path in paths)

    def answer_s(self, question: str, store_id: str) -> float:
        """Seconds of one answer."""
        body = {"query": question, "vector_store_ids": [store_id], "top_k": TOP_K}
        start = time.perf_counter()
        self._request("POST", "/v1/query", json=body)
        return time.perf_counter() - start


def ingest(server: Server, folder: Path, store_id: str) -> Row:
    """Ingest the folder. The peaks are those of all processes of one name together."""
    with IngestedService(server.url) as service:
        with _memory_of(server.pid) as peak_mb:
            seconds = service.ingest_folder(folder, store_id)
        return Row(OURS, seconds, service.count_chunks(store_id), dict(peak_mb))


class Asker:
    """Asks questions one after the other, in a thread, until the block ends. No question comes twice."""

    def __init__(self, server: Server, store_id: str, questions: Iterator[str]) -> None:
        self._server, self._store_id, self._questions = server, store_id, questions
        self._stop, self._seconds, self._error = threading.Event(), list[float](), list[RagError]()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def row(self, meanwhile: str) -> QuestionRow:
        """Raises the error of a failed question."""
        if self._error:
            raise self._error[0]
        times = sorted(self._seconds)
        return QuestionRow(meanwhile, len(times), percentile(times, 0.5) * 1000, percentile(times, 0.95) * 1000)

    def _ask(self) -> None:
        with IngestedService(self._server.url) as service:
            while not self._stop.is_set():
                try:
                    self._seconds.append(service.answer_s(next(self._questions), self._store_id))
                except RagError as error:
                    self._error.append(error)
                    return


def question_times(
    server: Server, folder: Path, store_id: str, questions: tuple[str, ...], idle_s: float
) -> list[QuestionRow]:
    """Questions to an idle service, then while the same files are ingested into another vector store."""
    # A number at the end: a repeated question is another one for every cache.
    unrepeated = (f"{question} {number}" for number, question in enumerate(itertools.cycle(questions)))
    with Asker(server, store_id, unrepeated) as idle:
        time.sleep(idle_s)
    with IngestedService(server.url) as service:
        other_id = service.create_store("questions meanwhile")
        with Asker(server, store_id, unrepeated) as busy:
            service.ingest_folder(folder, other_id)
    return [idle.row("nothing"), busy.row("the files are ingested again")]


@contextmanager
def _memory_of(pid: int) -> Iterator[dict[str, float]]:
    """The peak of resident memory in MB by process name, complete when the block ends."""
    peaks, stop = dict[str, float](), threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_S):
            for name, size_mb in _sizes_mb(pid).items():
                peaks[name] = max(peaks.get(name, 0.0), size_mb)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()
        for name in [name for name, size_mb in peaks.items() if size_mb < MIN_SHOWN_MB]:
            del peaks[name]


def _sizes_mb(pid: int) -> dict[str, float]:
    parent, sizes = psutil.Process(pid), defaultdict[str, float](float)
    for process in (parent, *parent.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            name = "parser's children" if "child_main" in command else process_name(command)
            sizes[name] += process.memory_info().rss / 1e6
    return dict(sizes)
