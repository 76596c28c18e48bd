"""`ragserve ingest` against an application on a real port: uploads, new versions, unchanged files."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serve.access.keys import digest_of
from serve.cli.ingest import files as ingest_files
from serve.cli.main import app
from serve.cli.remote import RemoteError
from tests.serve.cli.ingest.listening import Listening


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


def test_what_the_parser_reports_is_printed(listening: Listening) -> None:
    hidden = "<p>The tide comes.</p>" + "<p hidden>secret</p>" * 2
    listening.write("a.html", hidden)
    listening.write("b.html", hidden)
    (listening.folder / "na.txt").write_bytes("naïve".encode("cp1252"))

    assert listening.ingest() == []

    output = listening.output.getvalue()
    assert "/na.txt: the encoding was guessed and may be wrong: cp1252" in output
    assert "left out on purpose: 4 hidden passages" in output
    assert "secret" not in output


def test_failed_files_are_listed_and_replayed(listening: Listening) -> None:
    (listening.folder / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    listening.ingest()

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--url", listening.url], terminal_width=200)

    listed, nothing = run("dead-letters", "--reason", "invalid_file"), run("dead-letters", "--reason", "too_complex")
    replayed, unselected = run("replay", listed.output.split()[0]), run("replay")
    unknown = [run("dead-letters", "--store", "vs_none"), run("replay", "dl_0")]

    assert "invalid_file  1 attempt  notes/broken.pdf" in listed.output
    assert nothing.output == "0 dead letters\n"
    assert (replayed.output, replayed.exit_code) == ("1 files are ingested again\n", 0)
    assert unselected.exit_code == 2
    assert [(result.exit_code, str(result.exception)) for result in unknown] == [
        (1, "no vector store with id 'vs_none'"),
        (1, "no dead letter with id 'dl_0'"),
    ]
