"""Which documents a path or a URL stands for, and what is said of those that cannot be read."""

import gzip
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.parquet import write_table

from models.errors.configuration import ConfigError
from serve.cli.ingest.bulk.documents import SourceDocument, UnreadableSource
from serve.cli.ingest.bulk.options import RowOptions
from serve.cli.ingest.bulk.sources import Sources, open_roots

EXTENSIONS = {".md", ".txt", ".jsonl"}


def read(*urls: str | Path, **options: object) -> dict[str, bytes]:
    """The content of every document, in order. None may be unreadable."""
    documents: dict[str, bytes] = {}
    for source in Sources(RowOptions(**options), EXTENSIONS).documents(open_roots([str(url) for url in urls])):
        assert isinstance(source, SourceDocument), source
        documents[source.name] = source.read()
        assert source.size_bytes == len(documents[source.name])
    return documents


def problems(*urls: str | Path, **options: object) -> dict[str, str]:
    sources = Sources(RowOptions(**options), EXTENSIONS).documents(open_roots([str(url) for url in urls]))
    return {source.name: source.reason for source in sources if isinstance(source, UnreadableSource)}


@pytest.fixture
def memory() -> Iterator[str]:
    bucket = f"bucket-{uuid4().hex}"
    yield bucket
    with suppress(FileNotFoundError):
        MemoryFileSystem().rm(f"/{bucket}", recursive=True)


def test_a_folder_has_its_supported_files_by_name_without_hidden_ones(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    hidden = (".hidden.md", ".git/x.md", "tool.exe")
    for name in ("b.md", "a/z.txt", "a/b/c.MD", "naïve 日本.md", "[1]*.md", *hidden):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)

    documents = read(folder)

    assert list(documents) == ["notes/[1]*.md", "notes/a/b/c.MD", "notes/a/z.txt", "notes/b.md", "notes/naïve 日本.md"]
    assert documents["notes/a/z.txt"] == b"a/z.txt"


def test_a_loop_of_links_ends_and_a_linked_file_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (tmp_path / "elsewhere.md").write_text("linked")
    (folder / "loop").symlink_to(folder)
    (folder / "file.md").symlink_to(tmp_path / "elsewhere.md")
    (folder / "dangling.md").symlink_to(tmp_path / "nowhere.md")

    assert read(folder) == {"notes/file.md": b"linked"}


def test_a_bucket_is_named_by_its_whole_path(memory: str) -> None:
    for name in ("docs/a.md", "docs/deep/b.txt", "docs/skipped.bin", "docs/.hidden.md", "docs2/c.md"):
        MemoryFileSystem().pipe_file(f"/{memory}/{name}", name.encode())

    assert read(f"memory://{memory}/docs") == {
        f"{memory}/docs/a.md": b"docs/a.md",
        f"{memory}/docs/deep/b.txt": b"docs/deep/b.txt",
    }


def test_a_glob_names_files_of_any_kind(memory: str, tmp_path: Path) -> None:
    for name in ("a.md", "b.log", "c.md"):
        MemoryFileSystem().pipe_file(f"/{memory}/{name}", b"x")
        (tmp_path / name).write_text("x")

    assert list(read(f"memory://{memory}/*.log")) == [f"{memory}/b.log"]
    assert list(read(tmp_path / "*.md")) == ["a.md", "c.md"]
    assert list(read((tmp_path / "b.log").as_uri())) == ["b.log"]


def test_a_path_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("alpha")
    (tmp_path / "b.md").write_text("beta")
    paths = (tmp_path / "a.md", tmp_path / "*.md", (tmp_path / "b.md").as_uri(), f"{tmp_path}/../{tmp_path.name}/a.md")

    sources = Sources(RowOptions(), EXTENSIONS).documents(open_roots([str(path) for path in paths]))

    assert [source.name for source in sources] == ["a.md", "b.md"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("/nowhere/at/all", "does not exist"),
        ("", "a path is empty"),
        ("memory://nowhere/*.md", "does not exist"),
        ("gs://bucket/folder", "needs the package gcsfs"),
        ("nosuch://bucket", "nosuch"),
        ("https://user:secret@example.org/a.md", "user name"),
    ],
)
def test_a_url_that_cannot_be_opened_says_why(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        open_roots([url])


def rows_of(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_jsonl_is_a_table_if_it_is_named_and_a_document_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = rows_of(folder / "a.jsonl", {"text": "alpha"}, {"text": "beta"})

    assert read(path) == {"a.jsonl/1.txt": b"alpha", "a.jsonl/2.txt": b"beta"}
    assert list(read(folder)) == ["logs/a.jsonl"]
    assert list(read(folder, text_column="text")) == ["logs/a.jsonl/1.txt", "logs/a.jsonl/2.txt"]


def test_compressed_jsonl_is_read_and_a_damaged_one_reported(tmp_path: Path) -> None:
    content = gzip.compress(b'{"text": "alpha"}\n' * 1_000)
    (tmp_path / "a.jsonl.gz").write_bytes(content)
    (tmp_path / "cut.jsonl.gz").write_bytes(content[: len(content) // 2])
    (tmp_path / "none.jsonl.gz").write_bytes(b"not gzip")

    assert len(read(tmp_path / "a.jsonl.gz")) == 1_000
    assert "cannot be read after" in problems(tmp_path / "cut.jsonl.gz")["cut.jsonl.gz"]
    assert "cannot be read after 0 rows" in problems(tmp_path / "none.jsonl.gz")["none.jsonl.gz"]


def test_parquet_is_a_table_everywhere(tmp_path: Path, memory: str) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    write_table(pa.table({"id": ["x", "y"], "body": ["alpha", "beta"]}), folder / "part-0.parquet")
    MemoryFileSystem().pipe_file(f"/{memory}/p.parquet", (folder / "part-0.parquet").read_bytes())
    options = {"text_column": "body", "id_column": "id", "text_format": "md"}

    assert read(folder, **options) == {"parts/part-0.parquet/x.md": b"alpha", "parts/part-0.parquet/y.md": b"beta"}
    assert list(read(f"memory://{memory}", **options)) == [f"{memory}/p.parquet/x.md", f"{memory}/p.parquet/y.md"]


def test_damaged_parquet_and_missing_columns_are_reported(tmp_path: Path) -> None:
    write_table(pa.table({"body": ["alpha"]}), tmp_path / "a.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    (tmp_path / "empty.parquet").write_bytes(b"")

    assert problems(tmp_path / "a.parquet") == {"a.parquet": "has no column text; its columns are body"}
    assert "not readable Parquet" in problems(tmp_path / "cut.parquet")["cut.parquet"]
    assert "not readable Parquet" in problems(tmp_path / "empty.parquet")["empty.parquet"]


class BrokenStorage(MemoryFileSystem):
    """A storage one folder of which cannot be listed, with an error of its own kind."""

    cachable = False

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        if path.endswith("/broken"):
            raise RuntimeError("the connection was lost")
        return super().ls(path, detail, **kwargs)


def test_a_folder_that_cannot_be_listed_is_reported_and_the_others_are_read(memory: str) -> None:
    for name in ("a.md", "broken/b.md", "c.md"):
        MemoryFileSystem().pipe_file(f"/{memory}/{name}", b"alpha")
    (root,) = open_roots([f"memory://{memory}"])

    sources = list(Sources(RowOptions(), EXTENSIONS).documents([replace(root, filesystem=BrokenStorage())]))

    assert [source.name for source in sources] == [f"{memory}/a.md", f"/{memory}/broken", f"{memory}/c.md"]
    assert isinstance(sources[1], UnreadableSource)
    assert sources[1].reason == "the folder cannot be listed: the connection was lost"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")

    assert read(tmp_path) == {}
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        open_roots([str(tmp_path / "pipe.md")])


def test_documents_are_counted_before_they_are_read(tmp_path: Path, memory: str) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("alpha")
    (folder / "skipped.bin").write_text("x")
    write_table(pa.table({"text": ["a", "b", "c"]}), folder / "b.parquet")
    rows = rows_of(tmp_path / "rows.jsonl", {"text": "a"}, {"text": "b"})
    rows.write_text(rows.read_text() + "\n\n")
    MemoryFileSystem().pipe_file(f"/{memory}/rows.jsonl", b'{"text": "a"}\n')
    sources = Sources(RowOptions(), EXTENSIONS)

    assert sources.count(open_roots([str(folder), str(rows)])) == 1 + 3 + 2
    assert sources.count(open_roots([f"memory://{memory}/rows.jsonl"])) is None
