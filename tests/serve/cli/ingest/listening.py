"""The application behind a real port, for the tests of `ragserve ingest`."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import uvicorn
from rich.console import Console

from deployments.cluster.environment import free_port
from serve.cli.ingest import files as ingest_files
from serve.cli.remote import RemoteService
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import Clock, Running, application


class Listening:
    """The application behind a real port, and a folder of documents to ingest."""

    def __init__(self, running: Running, url: str, folder: Path) -> None:
        self.corpus, self.url, self.folder, self.output = running.corpus, url, folder, StringIO()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def ingest(self, store: str = "default") -> list[ingest_files.IngestedFile]:
        with RemoteService(self.url) as service:
            return ingest_files.ingest_files(service, [self.folder], store, Console(file=self.output, width=200))

    def versions(self) -> dict[str, list[int]]:
        """The versions of all files, by name."""
        versions: dict[str, list[int]] = {}
        with RemoteService(self.url) as service:
            for file in service.pages("/v1/files"):
                versions.setdefault(file["filename"], []).append(file["version"])
        return versions

    def texts(self) -> list[str]:
        """The searchable chunks of the default store."""
        with RemoteService(self.url) as service:
            files = list(service.pages("/v1/vector_stores/default/files"))
        return sorted(
            chunk.text for file in files for chunk in self.corpus.store_files.chunks("default", "default", file["id"])
        )


@contextmanager
def listening_in(folder: Path, keys_file: Path | None = None) -> Iterator[Listening]:
    """Serve from `folder` on a free port until the block ends."""
    port, running = free_port(), application(folder, Clock(), keys_file)
    server = uvicorn.Server(uvicorn.Config(running.app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    notes = folder / "notes"
    notes.mkdir()
    yield Listening(running, f"http://127.0.0.1:{port}", notes)
    server.should_exit = True
    thread.join()
