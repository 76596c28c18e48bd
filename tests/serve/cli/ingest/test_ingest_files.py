"""`ragserve ingest` against an application that listens on a port: what is sent, what is replaced, what is skipped."""

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
    """The application behind a real port, and the files that a user has."""

    def __init__(self, running: Running, url: str, folder: Path) -> None:
        self.corpus, self.url, self.folder, self.output = running.corpus, url, folder, StringIO()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def ingest(self, store: str = "default") -> list[ingest_files.IngestedFile]:
        with RemoteService(self.url) as service:
            return ingest_files.ingest_files(service, [self.folder], store, Console(file=self.output, width=200))

    def versions(self) -> dict[str, list[int]]:
        """The versions of all files of each name."""
        found: dict[str, list[int]] = {}
        with RemoteService(self.url) as service:
            for file in service.pages("/v1/files"):
                found.setdefault(file["filename"], []).append(file["version"])
        return found

    def texts(self) -> list[str]:
        """What is searchable in the default store."""
        with RemoteService(self.url) as service:
            files = list(service.pages("/v1/vector_stores/default/files"))
        chunks = [self.corpus.store_files.chunks("default", "default", file["id"]) for file in files]
        return sorted(chunk.text for one in chunks for chunk in one)


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


def test_files_become_searchable_and_a_second_time_changes_nothing(listening: Listening) -> None:
    listening.write("a.md", "alpha")
    listening.write("b.txt", "beta")
    listening.write(".hidden.md", "hidden")
    listening.write("c.exe", "no document")

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


def test_older_files_of_the_same_name_go_once_the_new_version_is_searchable(listening: Listening) -> None:
    for content in (b"first", b"second"):
        file = listening.corpus.files.add("default", "notes/a.md", content)
        listening.corpus.store_files.attach("default", "default", file.file_id)

    listening.write("a.md", "third")
    listening.ingest()

    assert listening.texts() == ["third"]
    assert listening.versions() == {"notes/a.md": [2]}


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_in(listening: Listening) -> None:
    listening.write("a.md", "alpha")
    listening.write("bad.pdf", "%PDF-1.7 and no more")
    listening.write("empty.md", "")

    failed = listening.ingest()

    assert sorted(one.filename for one in failed) == ["notes/bad.pdf", "notes/empty.md"]
    assert listening.texts() == ["alpha"]
    assert "notes/empty.md: failed: the file is empty" in listening.output.getvalue()
    assert "1 of 3 files are searchable" in listening.output.getvalue()


def test_more_files_than_a_batch_takes_go_in_by_several(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_files, "MAX_BATCH_FILES", 2)
    for number in range(5):
        listening.write(f"{number}.md", f"note {number}")

    assert listening.ingest() == []

    assert listening.texts() == [f"note {number}" for number in range(5)]


def test_an_unknown_store_is_refused_before_anything_is_sent(listening: Listening) -> None:
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

    def test_the_key_of_the_environment_is_sent(self, listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
        listening.write("a.md", "alpha")
        monkeypatch.delenv("RAGSERVE_API_KEY", raising=False)
        with pytest.raises(RemoteError, match="no API key"):
            listening.ingest()

        monkeypatch.setenv("RAGSERVE_API_KEY", "secret")

        assert listening.ingest() == []
        assert listening.texts() == ["alpha"]
