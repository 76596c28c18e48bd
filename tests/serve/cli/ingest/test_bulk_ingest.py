"""`ragserve ingest --bulk` against an application on a real port."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table
from rich.console import Console
from typer.testing import CliRunner, Result

from models.errors.configuration import ConfigError
from serve.cli.ingest.bulk.options import BulkLimits, RowOptions
from serve.cli.ingest.bulk.run import BulkRun
from serve.cli.ingest.bulk.state import Tally
from serve.cli.main import app
from serve.cli.remote import RemoteError, RemoteService, UnreachableError
from tests.serve.api.api_samples import MAX_UPLOAD_BYTES
from tests.serve.cli.ingest.listening import Listening


def bulk(
    listening: Listening, *paths: Path, failures: Path | None = None, limits: BulkLimits | None = None, **rows: object
) -> Tally:
    console = Console(file=listening.output, width=400)
    run = BulkRun(listening.url, "default", RowOptions(**rows), limits or BulkLimits(patience_s=0), console)
    return run.ingest([str(path) for path in paths or (listening.folder,)], failures)


def attributes(listening: Listening) -> dict[str, dict[str, object]]:
    with RemoteService(listening.url) as service:
        names = {file["id"]: file["filename"] for file in service.pages("/v1/files")}
        return {names[file["id"]]: file["attributes"] for file in service.pages("/v1/vector_stores/default/files")}


def test_a_second_run_uploads_and_ingests_nothing(listening: Listening) -> None:
    for number in range(60):
        listening.write(f"{number:03}.md", f"note {number}")

    first, second = bulk(listening), bulk(listening)

    assert first == Tally(searchable=60, chunks=60)
    assert second == Tally(unchanged=60)
    assert listening.texts() == sorted(f"note {number}" for number in range(60))
    assert set(map(tuple, listening.versions().values())) == {(1,)}
    assert "60 of 60 files are searchable in default: 0 ingested, 60 unchanged, 0 failed" in (
        listening.output.getvalue()
    )


def test_a_run_goes_on_where_another_stopped_at_any_point(listening: Listening) -> None:
    for number in range(4):
        listening.write(f"{number}.md", f"note {number}")
    uploaded = listening.corpus.files.add("default", "notes/0.md", b"note 0")
    listening.corpus.files.add("default", "notes/1.md", b"note 1")
    listening.corpus.store_files.attach("default", "default", uploaded.file_id)

    tally = bulk(listening)

    assert (tally.searchable + tally.unchanged, tally.failed) == (4, 0)
    assert listening.texts() == [f"note {number}" for number in range(4)]
    assert listening.versions() == {f"notes/{number}.md": [1] for number in range(4)}


def test_a_changed_file_is_the_next_version_and_a_plain_ingest_knows_it(listening: Listening) -> None:
    listening.write("a.md", "alpha")
    listening.write("b.md", "beta")
    bulk(listening)
    listening.write("a.md", "gamma")

    assert bulk(listening) == Tally(searchable=1, unchanged=1, chunks=1)
    assert listening.ingest() == []

    assert listening.texts() == ["beta", "gamma"]
    assert listening.versions() == {"notes/a.md": [2], "notes/b.md": [1]}


def test_older_files_of_a_name_are_deleted(listening: Listening) -> None:
    for content in (b"first", b"second"):
        file = listening.corpus.files.add("default", "notes/a.md", content)
        listening.corpus.store_files.attach("default", "default", file.file_id)
    listening.write("a.md", "second")

    bulk(listening)

    assert listening.texts() == ["second"]
    assert listening.versions() == {"notes/a.md": [1]}


def test_failed_files_have_reasons_and_are_tried_again_next_time(listening: Listening, tmp_path: Path) -> None:
    listening.write("a.md", "alpha")
    listening.write("bad.pdf", "%PDF-1.7 and no more")
    listening.write("empty.md", "")
    listening.write("large.md", "x" * (MAX_UPLOAD_BYTES + 1))
    (listening.folder / "na.txt").write_bytes("naïve".encode("cp1252"))
    (listening.folder / "h.html").write_text("<p>Tide</p><p hidden>secret</p>")

    tally = bulk(listening, failures=tmp_path / "failures.jsonl")

    assert (tally.searchable, tally.failed) == (3, 3)
    output = listening.output.getvalue()
    assert "notes/empty.md: failed: the file is empty" in output
    assert "notes/large.md: failed: the file is larger than 4096 bytes" in output
    assert "notes/na.txt: the encoding was guessed" in output
    assert "left out on purpose: 1 hidden passages" in output
    lines = (tmp_path / "failures.jsonl").read_text().splitlines()
    assert {json.loads(line)["name"] for line in lines} == {"notes/bad.pdf", "notes/empty.md", "notes/large.md"}
    assert bulk(listening) == Tally(unchanged=3, failed=3)


def test_rows_become_documents_with_attributes_that_can_change(listening: Listening, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = {"key": ["a", "b"], "body": ["alpha", "beta"], "year": [2025, 2026], "tags": [["x"], []]}
    write_table(pa.table(table), path)
    options = {"text_column": "body", "id_column": "key"}

    assert bulk(listening, path, **options) == Tally(searchable=2, chunks=2)
    assert bulk(listening, path, **options) == Tally(unchanged=2)
    write_table(pa.table(table | {"year": [2025, 2027]}), path)
    assert bulk(listening, path, **options) == Tally(searchable=1, unchanged=1, chunks=1)

    assert listening.texts() == ["alpha", "beta"]
    assert attributes(listening) == {
        "rows.parquet/a.txt": {"key": "a", "year": 2025},
        "rows.parquet/b.txt": {"key": "b", "year": 2027},
    }
    assert listening.versions() == {"rows.parquet/a.txt": [1], "rows.parquet/b.txt": [1]}


def test_one_row_that_the_service_refuses_fails_alone(listening: Listening, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "alpha", "key": "a"}, {"text": "beta", "key": "b\0"}, {"text": "gamma", "key": "a"}, {"x": 1}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    tally = bulk(listening, path)

    assert (tally.searchable, tally.failed) == (2, 2)
    output = listening.output.getvalue()
    assert "rows.jsonl/2.txt: failed: attribute 'key' has NUL characters" in output
    assert "rows.jsonl, row 4: failed: has no column 'text'" in output


def test_a_hundred_failures_are_shown_and_all_are_in_the_file(listening: Listening, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{\n" * 150)

    tally = bulk(listening, tmp_path / "rows.jsonl", failures=tmp_path / "failures.jsonl")

    assert tally == Tally(failed=150)
    assert listening.output.getvalue().count("failed: the line is not JSON") == 100
    assert "and 50 more failed; --failures FILE writes them all" in listening.output.getvalue()
    assert len((tmp_path / "failures.jsonl").read_text().splitlines()) == 150


@pytest.mark.parametrize("name", ['größe "x" 日本.md', "new\nline.md", "tab\t\x7f.md", "back\\slash.md", "e\u0301.md"])
def test_a_file_of_any_name_is_unchanged_the_next_time(listening: Listening, name: str) -> None:
    listening.write(name, "alpha")

    assert bulk(listening) == Tally(searchable=1, chunks=1)
    assert bulk(listening) == Tally(unchanged=1)
    assert listening.ingest() == []

    assert list(listening.versions().values()) == [[1]]


def test_a_name_that_is_not_unicode_is_escaped(listening: Listening, tmp_path: Path) -> None:
    for name in (b"bad\xff.md", b"empty\xfe.md"):
        (listening.folder / os.fsdecode(name)).write_bytes(b"alpha" if name < b"c" else b"")

    tally = bulk(listening, failures=tmp_path / "failures.jsonl")

    assert (tally.searchable, tally.failed) == (1, 1)
    assert list(listening.versions()) == ["notes/bad%FF.md"]
    assert json.loads((tmp_path / "failures.jsonl").read_text())["name"] == "notes/empty%FE.md"
    assert [file.filename for file in listening.ingest()] == ["notes/empty%FE.md"]
    assert list(listening.versions()) == ["notes/bad%FF.md"]


def test_two_documents_of_one_name_do_not_replace_each_other(listening: Listening, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"id": "a", "text": "{text}"}}\n' for text in ("alpha", "beta", "gamma")))

    tallies = [bulk(listening, path, id_column="id", limits=BulkLimits(uploads=8, patience_s=0)) for _ in range(2)]

    assert tallies == [Tally(searchable=1, failed=2, chunks=1), Tally(unchanged=1, failed=2)]
    assert listening.texts() == ["alpha"]
    assert "another document of this run has the same name" in listening.output.getvalue()


@pytest.mark.parametrize("limits", [{"uploads": 1, "in_flight": 1, "memory_mb": 1}, {"uploads": 64, "in_flight": 7}])
def test_narrow_limits_stop_nothing(listening: Listening, limits: dict[str, int]) -> None:
    for number in range(20):
        listening.write(f"{number}.md", f"note {number}")

    assert bulk(listening, limits=BulkLimits(patience_s=0, **limits)).searchable == 20


def run(listening: Listening, *arguments: object) -> Result:
    command = ["ingest", "--bulk", *map(str, arguments), "--url", listening.url]
    return CliRunner().invoke(app, command, terminal_width=200)


def test_the_exit_status_tells_whether_all_files_are_searchable(listening: Listening, tmp_path: Path) -> None:
    listening.write("a.md", "alpha")
    (tmp_path / "rows.jsonl").write_text('{"body": "beta", "lang": "en", "n": 1}\n')
    columns = ("--text-column", "body", "--attribute", "lang", "--text-format", "md")

    fine = run(listening, listening.folder, tmp_path / "rows.jsonl", *columns)
    (tmp_path / "nothing").mkdir()
    nothing = run(listening, tmp_path / "nothing")
    listening.write("empty.md", "")
    failed = run(listening, listening.folder)

    assert (fine.exit_code, nothing.exit_code, failed.exit_code) == (0, 1, 1), fine.output
    assert "no documents: the folders are empty" in nothing.output
    assert "2 of 2 files are searchable in default" in fine.output
    assert attributes(listening)["rows.jsonl/1.md"] == {"lang": "en"}


def test_a_wrong_store_url_or_option_is_refused_before_any_upload(listening: Listening, tmp_path: Path) -> None:
    listening.write("a.md", "alpha")

    with pytest.raises(RemoteError, match="vs_none"):
        BulkRun(listening.url, "vs_none", RowOptions(), BulkLimits(patience_s=0), Console()).ingest(
            [str(listening.folder)]
        )
    with pytest.raises(ConfigError, match="does not exist"):
        bulk(listening, tmp_path / "absent")
    with pytest.raises(ConfigError, match="--failures: cannot be written: "):
        bulk(listening, failures=tmp_path / "absent" / "failures.jsonl")
    assert run(listening, listening.folder, "--in-flight", 0).exit_code == 2
    plain = CliRunner().invoke(app, ["ingest", "s3://bucket/x", "--url", listening.url])
    assert (plain.exit_code, listening.versions()) == (2, {})


def test_a_service_that_is_away_ends_the_run_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("alpha")
    bulk_run = BulkRun("http://127.0.0.1:9", "default", RowOptions(), BulkLimits(patience_s=0), Console(quiet=True))

    with pytest.raises(UnreachableError, match="Run the same command again"):
        bulk_run.ingest([str(tmp_path)])
