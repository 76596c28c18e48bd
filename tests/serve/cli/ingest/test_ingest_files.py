"""`ragserve ingest` against an application on a real port: uploads, new versions, unchanged files."""

import threading
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import uvicorn
from rich.console import Console

from deployments.cluster.environment import free_port
from serve.access.keys import digest_of
from serve.cli.ingest import files as ingest_files
from serve.cli.remote import RemoteError, RemoteService
from tests.serve.api.api_samples import Clock, Running, application

START_TIMEOUT_S = 30.0


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


@pytest.fixture
def keys_file() -> Path | None:
    return None


@pytest.fixture
def listening(tmp_path: Path, keys_file: Path | None) -> Iterator[Listening]:
    port, running = free_port(), application(tmp_path, Clock(), keys_file)
    server = uvicorn.Server(uvicorn.Config(running.app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + START_TIMEOUT_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < end
        time.sleep(0.01)
    folder = tmp_path / "notes"
    folder.mkdir()
    yield Listening(running, f"http://127.0.0.1:{port}", folder)
    server.should_exit = True
    thread.join()


def test_files_become_searchable_and_a_second_run_changes_nothing(listening: Listening) -> None:
    listening.write("a.md", "alpha")
    listening.write("b.txt", "beta")
    listening.write(".hidden.md", "hidden")
    listening.write("c.exe", "not a document")

    assert listening.ingest() == []
    assert listening.ingest() == []

    assert listening.texts() == ["alpha", "beta"]
    assert listening.versions() == {"notes/a.md": [1], "notes/b.txt": [1]}
    assert "2 of 2 files are searchable in default" in listening.output.getvalue()


def test_a_changed_file_is_the_next_version_of_the_same_file(listening: Listening) -> None:
    listening.write("a.md", "alpha")
    listening.ingest()

    listening.write("a.md", "gamma")
    listening.ingest()

    assert listening.texts() == ["gamma"]
    assert listening.versions() == {"notes/a.md": [2]}


def test_older_files_with_the_same_name_are_deleted_once_the_new_version_is_searchable(listening: Listening) -> None:
    for content in (b"first", b"second"):
        file = listening.corpus.files.add("default", "notes/a.md", content)
        listening.corpus.store_files.attach("default", "default", file.file_id)

    listening.write("a.md", "third")
    listening.ingest()

    assert listening.texts() == ["third"]
    assert listening.versions() == {"notes/a.md": [2]}


def test_an_unreadable_file_is_named_and_the_others_are_ingested(listening: Listening) -> None:
    listening.write("a.md", "alpha")
    listening.write("bad.pdf", "%PDF-1.7 and no more")
    listening.write("empty.md", "")

    failed = listening.ingest()

    assert sorted(file.filename for file in failed) == ["notes/bad.pdf", "notes/empty.md"]
    assert listening.texts() == ["alpha"]
    assert "notes/empty.md: failed: the file is empty" in listening.output.getvalue()
    assert "1 of 3 files are searchable" in listening.output.getvalue()


def test_more_files_than_one_batch_holds_use_several_batches(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_files, "FILES_PER_BATCH", 2)
    for number in range(5):
        listening.write(f"{number}.md", f"note {number}")

    assert listening.ingest() == []

    assert listening.texts() == [f"note {number}" for number in range(5)]


def test_an_unknown_store_is_refused_before_any_upload(listening: Listening) -> None:
    listening.write("a.md", "alpha")

    with pytest.raises(RemoteError, match="vs_none"):
        listening.ingest("vs_none")

    assert listening.versions() == {}


class TestWithKeys:
    @pytest.fixture
    def keys_file(self, tmp_path: Path) -> Path:
        path = tmp_path / "keys.yaml"
        path.write_text(f"default: [{digest_of('secret')}]\n")
        return path

    def test_the_api_key_comes_from_the_environment(
        self, listening: Listening, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listening.write("a.md", "alpha")
        monkeypatch.delenv("RAGSERVE_API_KEY", raising=False)
        with pytest.raises(RemoteError, match="no API key"):
            listening.ingest()

        monkeypatch.setenv("RAGSERVE_API_KEY", "secret")

        assert listening.ingest() == []
        assert listening.texts() == ["alpha"]
