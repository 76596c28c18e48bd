"""A full disk, a read-only database, a database that is gone: typed errors, reads go on, deletes make room."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from models.corpus.blobs import FolderBlobStore, digest_of
from models.corpus.corpus import Corpus
from models.corpus.database import open_database
from models.corpus.database_config import DatabaseConfig
from models.corpus.storage_errors import database_error
from models.errors.base import RagError
from models.errors.requests import NotFoundError
from models.errors.storage import (
    BlobsUnavailableError,
    DatabaseBusyError,
    DatabaseDamagedError,
    DatabaseUnavailableError,
    StatementTimeoutError,
    StorageFullError,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    """On SQLite, whatever the other tests use."""
    opened = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", tmp_path / "files")
    yield opened
    opened.close()


@contextmanager
def full(corpus: Corpus) -> Iterator[None]:
    """The database may not grow by a page: SQLite's own limit, which raises what a full disk raises."""
    engine = corpus.database._engine

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")

    engine.dispose()
    event.listen(engine, "connect", limit)
    yield
    event.remove(engine, "connect", limit)
    engine.dispose()


def fill(corpus: Corpus) -> str:
    """Add files until there is no room for one more. Return the id of the last one."""
    for number in range(10_000):
        try:
            file_id = corpus.files.add("default", f"{number}-{'x' * 200}.txt", f"text {number}".encode()).file_id
        except StorageFullError:
            return file_id
    raise AssertionError("the database is never full")


def num_blobs(corpus: Corpus) -> int:
    return len(corpus.files.blobs.digests())


def test_a_full_database_refuses_writes_serves_reads_and_takes_deletes(corpus: Corpus) -> None:
    kept = corpus.files.add("default", "kept.txt", b"kept")

    with full(corpus):
        last_id = fill(corpus)
        before = num_blobs(corpus)
        with pytest.raises(StorageFullError, match="the database is full; delete files, or try again in 30 s"):
            corpus.files.add("default", f"one-more-{'x' * 250}.txt", b"one more")

        assert num_blobs(corpus) == before  # what was refused takes no room
        assert corpus.files.content("default", kept.file_id) == b"kept"
        corpus.files.delete("default", last_id)
        assert num_blobs(corpus) == before - 1
        corpus.files.add("default", "one-more.txt", b"one more")

    assert corpus.files.get("default", kept.file_id).filename == "kept.txt"


def test_a_file_that_a_full_database_did_not_replace_keeps_its_content(corpus: Corpus) -> None:
    file = corpus.files.add("default", "notes.txt", b"first")
    corpus.store_files.attach("default", "default", file.file_id)

    with full(corpus):
        fill(corpus)
        for number in range(2_000):  # an update needs less room than a new row
            try:
                corpus.files.replace("default", file.file_id, b"second", f"{number}-{'y' * 240}.txt")
            except StorageFullError:
                break
            corpus.files.replace("default", file.file_id, b"first")

        assert corpus.files.content("default", file.file_id) in (b"first", b"second")


@contextmanager
def file_limit(num_bytes: int) -> Iterator[None]:
    """No file of this process may be longer: a write beyond it fails as one to a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_of_uploads_is_typed_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    blobs = FolderBlobStore(tmp_path)

    with file_limit(1000), pytest.raises(StorageFullError, match="the disk of uploaded files is full"):
        blobs.put(b"x" * 1001)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert blobs.get(blobs.put(b"x" * 1001)) == b"x" * 1001


def test_a_folder_of_uploads_that_cannot_be_written_is_typed(tmp_path: Path) -> None:
    blobs = FolderBlobStore(tmp_path)
    digest = blobs.put(b"there")
    (tmp_path / digest_of(b"new")[:2]).write_text("in the way of its folder")

    with pytest.raises(BlobsUnavailableError):
        blobs.put(b"new")
    assert blobs.get(digest) == b"there"


def test_a_read_only_database_serves_reads_and_says_so(corpus: Corpus) -> None:
    file = corpus.files.add("default", "notes.txt", b"notes")
    engine = corpus.database._engine
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    engine.dispose()

    with pytest.raises(
        DatabaseUnavailableError, match="the database is not available: it is read-only; try again in 5 s"
    ):
        corpus.files.add("default", "more.txt", b"more")
    assert corpus.files.content("default", file.file_id) == b"notes"


def test_what_a_database_did_not_take_is_deleted_once_it_answers(corpus: Corpus) -> None:
    file = corpus.files.add("default", "notes.txt", b"notes")
    engine = corpus.database._engine

    def refuse(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA query_only=ON")

    event.listen(engine, "connect", refuse)
    engine.dispose()
    refused: list[Callable[[], object]] = [
        lambda: corpus.files.add("default", "more.txt", b"more"),
        lambda: corpus.files.replace("default", file.file_id, b"second"),
        lambda: corpus.files.add("default", "later.txt", b"later"),
    ]
    for call in refused:
        with pytest.raises(DatabaseUnavailableError):
            call()
    corpus.files.delete_leftovers()
    meanwhile = num_blobs(corpus)
    event.remove(engine, "connect", refuse)
    engine.dispose()
    later = corpus.files.add("default", "later.txt", b"later")  # again, and now it is taken
    corpus.files.delete_leftovers()

    assert meanwhile == 4
    assert corpus.files.blobs.digests() == {file.sha256, later.sha256}


def test_content_that_the_disk_did_not_delete_with_its_file_is_deleted_later(tmp_path: Path, corpus: Corpus) -> None:
    file = corpus.files.add("default", "notes.txt", b"notes")
    blob = corpus.files.blobs.path(file.sha256)
    blob.rename(tmp_path / "away")
    (blob / "folder").mkdir(parents=True)  # no unlink deletes it

    corpus.files.delete("default", file.file_id)
    corpus.files.delete_leftovers()
    (blob / "folder").rmdir()
    blob.rmdir()
    (tmp_path / "away").rename(blob)
    with pytest.raises(NotFoundError):
        corpus.files.get("default", file.file_id)
    assert num_blobs(corpus) == 1
    corpus.files.delete_leftovers()

    assert num_blobs(corpus) == 0


def test_a_search_of_a_store_that_expires_goes_on_while_nothing_can_be_written(corpus: Corpus) -> None:
    day = 86_400
    store = corpus.vector_stores.create("default", "short", expires_after_days=1)
    engine = corpus.database._engine
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    engine.dispose()
    object.__setattr__(corpus.vector_stores, "clock", lambda: store.created_at + day / 2)

    assert corpus.vector_stores.touch("default", [store.vector_store_id]) == [{}]


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("53100", StorageFullError),
        ("25006", DatabaseUnavailableError),
        ("57P01", DatabaseUnavailableError),
        ("08006", DatabaseUnavailableError),
        ("53300", DatabaseUnavailableError),
        ("53200", DatabaseUnavailableError),
        ("25P03", DatabaseUnavailableError),
        ("58030", DatabaseUnavailableError),
        ("XX001", DatabaseDamagedError),
        ("XX002", DatabaseDamagedError),
        ("55P03", DatabaseBusyError),
        ("57014", StatementTimeoutError),
        ("40001", DatabaseBusyError),
        ("42601", None),
    ],
)
def test_postgresqls_errors_are_told_by_their_state(sqlstate: str, kind: type[RagError] | None) -> None:
    error = psycopg.errors.lookup(sqlstate)("as the driver raises it")

    typed = database_error(OperationalError("INSERT", {}, error))

    assert type(typed) is (kind or type(None))


def test_a_postgresql_that_is_gone_is_typed() -> None:
    with pytest.raises(DatabaseUnavailableError, match="it does not answer"):
        open_database("postgresql+psycopg://nobody@127.0.0.1:1/none")


def test_a_locked_database_is_not_available_and_a_wrong_row_stays_a_bug(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/corpus.db", DatabaseConfig(busy_s=0.01))
    other = sqlite3.connect(tmp_path / "corpus.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseUnavailableError, match="another process keeps it locked"), database.writing():
        pass
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(text("INSERT INTO files (tenant) VALUES (NULL)"))
    database.close()
