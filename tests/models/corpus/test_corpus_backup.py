"""Backups are complete and of one moment, even under writes. A restore is all or nothing, even under reads."""

import itertools
import json
import random
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from backup_samples import (
    contents,
    lost_blobs,
    new_database,
    postgresql_server,
    restore_and_be_killed,
    restore_and_die,
)
from corpus_samples import (
    GENERATION,
    SCOPE,
    STORE,
    TENANT,
    UNDO_VERSION_5,
    UNDO_VERSION_6,
    UNDO_VERSION_7,
    UNDO_VERSION_8,
    UNDO_VERSION_9,
    UNDO_VERSION_10,
    UNDO_VERSION_11,
    UNDO_VERSION_12,
    UNDO_VERSION_13,
    UNDO_VERSION_14,
    UNDO_VERSION_15,
    UNDO_VERSION_16,
    Clock,
    ingest,
    stored_texts,
)
from sqlalchemy import BigInteger, insert

from models.corpus.backup.blob_files import blob_path, list_digests
from models.corpus.backup.create import create_backup
from models.corpus.backup.keys import KEY_COLUMNS, key_column, keyed_tables
from models.corpus.backup.manifest import DATABASE, FILES, MANIFEST, Manifest, sha256_of
from models.corpus.backup.restore import restore_backup
from models.corpus.columns import metadata
from models.corpus.corpus import Corpus
from models.corpus.leases import claim_lease, is_leased, release_lease
from models.corpus.records import PageRequest
from models.corpus.schema import SCHEMA_VERSION, schema_version, view_positions
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError
from tests.patience import PATIENCE_S

PAGE = PageRequest(limit=100, order="asc")
FILE_LIMIT_BYTES = 100_000
NUM_KILLS = 25


@pytest.fixture
def blob_root(state_folder: Path) -> Path:
    """The blobs of `corpus`."""
    return state_folder / "blobs"


@pytest.fixture
def backup(corpus: Corpus, blob_root: Path, state_folder: Path) -> Path:
    """A backup of two files. Afterwards one of them is deleted, and a third one added."""
    ingest(corpus, "a.md", "alpha " * 5)
    doomed = ingest(corpus, "b.md", "beta " * 5)
    create_backup(corpus.database, blob_root, state_folder / "backup")
    corpus.files.delete(TENANT, doomed)
    ingest(corpus, "c.md", "gamma " * 5)
    return state_folder / "backup"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


@contextmanager
def opened(url: str, blob_root: Path) -> Iterator[Corpus]:
    corpus = Corpus.open(url, blob_root, Clock())
    yield corpus
    corpus.close()


def check_round_trip(source_url: str, target_url: str, folder: Path) -> None:
    """Back up a corpus with rows of every kind, and restore it over another corpus."""
    with opened(source_url, folder / "source") as source, opened(target_url, folder / "target") as target:
        file_id = ingest(source, "a.md", "alpha " * 50)
        other_store = source.vector_stores.create("acme", "Acme's").vector_store_id
        ingest(source, "b.md", "beta " * 50, "acme", other_store)
        source.files.delete(TENANT, ingest(source, "gone.md", "gone"))
        waiting = source.files.add(TENANT, "waiting.md", b"waiting")
        source.store_files.attach(TENANT, STORE, waiting.file_id, attributes={"year": 2020, "draft": True})
        ingest(target, "other.md", "other " * 80)

        create_backup(source.database, folder / "source", folder / "backup")
        restore_backup(target.database, folder / "target", folder / "backup", replace=True)

        assert contents(target.database) == contents(source.database)
        assert stored_texts(target, "acme", other_store) == stored_texts(source, "acme", other_store)
        assert target.files.content(TENANT, file_id) == b"alpha " * 50
        assert target.store_files.get(TENANT, STORE, waiting.file_id).attributes == {"year": 2020, "draft": True}
        assert lost_blobs(target.database, folder / "target") == []
        ingest(target, "later.md", "later " * 5)
        assert len(stored_texts(target)) == len(stored_texts(source)) + 4  # waiting.md is one chunk, later.md three


def test_a_restored_corpus_has_what_was_backed_up(state_folder: Path) -> None:
    check_round_trip(f"sqlite:///{state_folder}/a.db", f"sqlite:///{state_folder}/b.db", state_folder)


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target"), [("sqlite", "pg"), ("pg", "sqlite"), ("pg", "pg")])
def test_a_backup_goes_from_one_database_to_another(
    state_folder: Path, postgresql: str, source: str, target: str
) -> None:
    urls = {
        side: f"sqlite:///{state_folder}/{side}.db" if kind == "sqlite" else new_database(postgresql, side)
        for side, kind in (("source", source), ("target", target))
    }

    check_round_trip(urls["source"], urls["target"], state_folder)


@pytest.mark.slow
def test_restoring_over_itself_on_postgresql_keeps_readers_and_keys_apart(state_folder: Path, postgresql: str) -> None:
    with opened(new_database(postgresql, "over_itself"), state_folder / "blobs") as corpus:
        ingest(corpus, "a.md", "alpha " * 5)
        create_backup(corpus.database, state_folder / "blobs", state_folder / "backup")
        ingest(corpus, "b.md", "beta")

        check_readers_and_keys(corpus, state_folder / "blobs", state_folder / "backup")


def test_readers_see_the_old_corpus_and_then_the_new_one(corpus: Corpus, blob_root: Path, backup: Path) -> None:
    check_readers_and_keys(corpus, blob_root, backup)


def check_readers_and_keys(corpus: Corpus, blob_root: Path, backup: Path) -> None:
    before, contents_during = contents(corpus.database), []
    old = corpus.views.text_changes(TENANT, STORE, 0)

    def look(what: str, done: int, total: int) -> None:
        if what == "tables":
            contents_during.append(contents(corpus.database))

    restore_backup(corpus.database, blob_root, backup, replace=True, progress=look)

    assert contents_during
    assert all(moment == before for moment in contents_during)
    assert contents(corpus.database) != before
    new = corpus.views.text_changes(TENANT, STORE, 0)
    assert new.log_id not in ("", old.log_id)
    # A running search may have keys of the old corpus: they must not name other chunks now.
    assert corpus.views.passages(old.added_keys, SCOPE) == {}
    assert len(corpus.views.passages(new.added_keys, SCOPE)) == len(new.texts)
    ingest(corpus, "later.md", "later")
    assert corpus.views.text_changes(TENANT, STORE, 0).added_keys.max() > max(
        new.added_keys.max(), old.added_keys.max()
    )


def test_a_restore_deletes_rows_and_blobs_newer_than_the_backup(corpus: Corpus, blob_root: Path, backup: Path) -> None:
    restore_backup(corpus.database, blob_root, backup, replace=True)

    texts = " ".join(stored_texts(corpus))
    assert "beta" in texts
    assert "gamma" not in texts
    assert list_digests(blob_root) == list_digests(backup / FILES)
    assert lost_blobs(corpus.database, blob_root) == []


def test_restored_keys_are_above_all_keys_assigned_before(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    corpus.files.delete(TENANT, ingest(corpus, "last.md", "last " * 50))
    create_backup(corpus.database, blob_root, state_folder / "backup")
    with opened(f"sqlite:///{state_folder}/empty.db", state_folder / "empty") as empty:
        restore_backup(empty.database, state_folder / "empty", state_folder / "backup")
        ingest(empty, "a.md", "alpha")

        assert empty.views.text_changes(TENANT, STORE, 0).added_keys.tolist() == [26]  # after last.md's 25


def test_key_columns_lists_every_column_with_keys() -> None:
    with_keys = {
        column.name
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name.endswith("_key") or (isinstance(column.type, BigInteger) and column.name.endswith("_id"))
    }

    assert {key_column(table) for table in keyed_tables()} <= KEY_COLUMNS
    assert with_keys == KEY_COLUMNS


def test_a_restored_job_has_no_lease(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    file = corpus.files.add(TENANT, "a.md", b"alpha")
    corpus.store_files.attach(TENANT, STORE, file.file_id)
    job = corpus.jobs.claim("worker of before", 1, 1e6)[0]
    create_backup(corpus.database, blob_root, state_folder / "backup")

    restore_backup(corpus.database, blob_root, state_folder / "backup", replace=True)

    with pytest.raises(ConflictError):
        corpus.jobs.fail(job, "server_error", "too late")
    assert [(job.file_id, job.attempt) for job in corpus.jobs.claim("another", 9, 60.0)] == [(file.file_id, 1)]


def test_a_restore_leaves_positions_of_shared_views(corpus: Corpus, blob_root: Path, backup: Path) -> None:
    row = {"view": "milvus", "tenant": TENANT, "vector_store_id": STORE, "generation": GENERATION, "log_id": "log_old"}
    with corpus.database.writing() as connection:
        connection.execute(insert(view_positions).values(row | {"seq": 9}))

    restore_backup(corpus.database, blob_root, backup, replace=True)

    with corpus.database.reading() as connection:
        assert connection.execute(view_positions.select()).mappings().all() == [row | {"seq": 9}]


def test_a_restore_leaves_the_leases_of_running_replicas(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    ingest(corpus, "a.md", "alpha")
    with corpus.database.writing() as connection:
        claim_lease(connection, "in the backup", "dead", 0, 1e9)
    create_backup(corpus.database, blob_root, state_folder / "backup")
    with corpus.database.writing() as connection:
        release_lease(connection, "in the backup", "dead")
        claim_lease(connection, "since the backup", "running", 0, 1e9)

    restore_backup(corpus.database, blob_root, state_folder / "backup", replace=True)

    with corpus.database.reading() as connection:
        assert not is_leased(connection, "in the backup", 1, 1e9)
        assert is_leased(connection, "since the backup", 1, 1e9)


# By the version that the statements lead to; those of 2 and 3 also lack tables.
UNDO = dict.fromkeys((2, 3, 4), UNDO_VERSION_5) | {5: UNDO_VERSION_6, 6: UNDO_VERSION_7}
UNDO |= {7: UNDO_VERSION_8, 8: UNDO_VERSION_9, 9: UNDO_VERSION_10, 10: UNDO_VERSION_11, 11: UNDO_VERSION_12}
UNDO |= {12: UNDO_VERSION_13, 13: UNDO_VERSION_14, 14: UNDO_VERSION_15, 15: UNDO_VERSION_16}


MISSING = {2: ["leases", "token_vectors"], 3: ["token_vectors"]}


@pytest.mark.parametrize("version", range(2, SCHEMA_VERSION))  # also those of migrations to come
def test_a_backup_of_an_earlier_schema_is_restored(corpus: Corpus, blob_root: Path, backup: Path, version: int) -> None:
    missing = MISSING.get(version, [])
    with closing(sqlite3.connect(backup / DATABASE)) as tables:
        for table in missing:
            tables.execute(f"DROP TABLE {table}")
        for statement in UNDO[version]:
            tables.execute(statement)
        tables.execute("UPDATE schema_version SET version = ?", (version,))
        tables.commit()
    change_manifest(backup, schema_version=version, database_sha256=sha256_of(backup / DATABASE))

    restore_backup(corpus.database, blob_root, backup, replace=True)

    assert "beta" in " ".join(stored_texts(corpus))
    assert (corpus.views.token_changes(TENANT, STORE, 0, GENERATION).codes == ()) == ("token_vectors" in missing)
    with corpus.database.reading() as connection:
        assert connection.execute(schema_version.select()).scalar_one() == SCHEMA_VERSION


def test_a_corpus_that_is_not_empty_is_replaced_only_on_request(corpus: Corpus, blob_root: Path, backup: Path) -> None:
    before = contents(corpus.database)

    with pytest.raises(ConflictError, match=r"2 files, 0 vector stores besides `default`, 6 chunks, 0 resp"):
        restore_backup(corpus.database, blob_root, backup)

    assert contents(corpus.database) == before


def test_a_backup_under_writes_is_consistent(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    stop, written, deleted = threading.Event(), itertools.count(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            number = next(written)
            file_id = ingest(corpus, f"{number}.md", f"{number:>9} " * 20)
            if number % 2:
                corpus.files.delete(TENANT, file_id)
                deleted.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert deleted.wait(PATIENCE_S)
        for number in range(6):
            create_backup(corpus.database, blob_root, state_folder / f"backup-{number}")
    finally:
        stop.set()
        writer.join(PATIENCE_S)

    for number in range(6):
        check_backup(state_folder / f"backup-{number}")


def check_backup(backup: Path) -> None:
    manifest = Manifest.read(backup)
    with closing(sqlite3.connect(backup / DATABASE)) as tables:
        assert tables.execute("PRAGMA foreign_key_check").fetchall() == []
        digests = {row[0] for row in tables.execute("SELECT digest FROM files")}
        num_completed = tables.execute("SELECT count(*) FROM store_files WHERE status = 'completed'").fetchone()[0]
        num_chunks = tables.execute("SELECT count(*) FROM chunks").fetchone()[0]
        num_vectors = tables.execute("SELECT count(*) FROM vectors").fetchone()[0]
    assert list_digests(backup / FILES) == digests
    assert num_chunks == num_vectors == num_completed * 20
    assert (manifest.num_blobs, manifest.rows["chunks"]) == (len(digests), num_chunks)


def test_deleting_a_file_before_its_copy_restarts_the_copy(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    kept_id, brief_ids, steps = ingest(corpus, "kept.md", "kept"), [], []

    def interfere(what: str, done: int, total: int) -> None:
        steps.append(what)
        if what == "files" and not brief_ids:
            brief_ids.append(ingest(corpus, "brief.md", "brief"))
        elif what == "tables" and steps.count("tables") == 1:
            corpus.files.delete(TENANT, brief_ids[0])

    create_backup(corpus.database, blob_root, state_folder / "backup", progress=interfere)

    assert [step for step, _ in itertools.groupby(steps)].count("tables") == 2  # PostgreSQL's tables take several steps
    with closing(sqlite3.connect(state_folder / "backup" / DATABASE)) as tables:
        assert tables.execute("SELECT file_id FROM files").fetchall() == [(kept_id,)]
    assert len(list_digests(state_folder / "backup" / FILES)) == 1


def test_a_file_deleted_during_a_restore_is_restored(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    file_id, steps = ingest(corpus, "a.md", "alpha"), []
    create_backup(corpus.database, blob_root, state_folder / "backup")

    def interfere(what: str, done: int, total: int) -> None:
        steps.append(what)
        if steps == ["checking files", "files"]:
            corpus.files.delete(TENANT, file_id)
            assert not list_digests(blob_root)

    restore_backup(corpus.database, blob_root, state_folder / "backup", replace=True, progress=interfere)

    assert corpus.files.content(TENANT, file_id) == b"alpha"


def test_a_backup_has_its_name_only_when_it_is_complete(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    ingest(corpus, "a.md", "alpha")

    def check_not_there(what: str, done: int, total: int) -> None:
        assert not (state_folder / "backup").exists()

    create_backup(corpus.database, blob_root, state_folder / "backup", progress=check_not_there)

    assert {path.name for path in (state_folder / "backup").iterdir()} == {MANIFEST, DATABASE, FILES}
    with pytest.raises(ConflictError, match="exists"):
        create_backup(corpus.database, blob_root, state_folder / "backup")


def test_files_of_an_older_backup_are_linked(corpus: Corpus, blob_root: Path, backup: Path, state_folder: Path) -> None:
    create_backup(corpus.database, blob_root, state_folder / "next", previous=backup)

    shared = list_digests(backup / FILES) & list_digests(state_folder / "next" / FILES)
    assert len(shared) == 1
    digest = shared.pop()
    assert blob_path(backup / FILES, digest).samefile(blob_path(state_folder / "next" / FILES, digest))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it may be a hard link to the corpus
    path.write_bytes(content)


def a_blob(backup: Path) -> Path:
    return blob_path(backup / FILES, min(list_digests(backup / FILES)))


def change_manifest(backup: Path, **changes: object) -> None:
    manifest = json.loads((backup / MANIFEST).read_text())
    (backup / MANIFEST).write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda backup: flip_a_bit(backup / DATABASE), "does not match the checksum"),
        (lambda backup: flip_a_bit(a_blob(backup)), "does not match the digest"),
        (lambda backup: a_blob(backup).unlink(), "is missing"),
        (lambda backup: (backup / MANIFEST).unlink(), "is not a backup"),
        (lambda backup: (backup / MANIFEST).write_text("{"), "is damaged"),
        (lambda backup: change_manifest(backup, schema_version=SCHEMA_VERSION + 1), "run the release that wrote it"),
        (lambda backup: change_manifest(backup, format_version=99), "has format 99"),
        (lambda backup: change_manifest(backup, more=1), "is damaged"),
    ],
)
def test_a_damaged_backup_is_refused(
    corpus: Corpus, blob_root: Path, backup: Path, damage: Callable[[Path], object], problem: str
) -> None:
    before, blobs_before = contents(corpus.database), list_digests(blob_root)
    damage(backup)

    with pytest.raises(ConfigError, match=problem):
        restore_backup(corpus.database, blob_root, backup, replace=True)

    assert contents(corpus.database) == before
    assert list_digests(blob_root) == blobs_before


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit the size of files, as a stand-in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_backup(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    ingest(corpus, "a.md", "alpha " * 500)

    with full_disk(), pytest.raises(ConfigError):
        create_backup(corpus.database, blob_root, state_folder / "backup")

    assert not list(state_folder.glob("backup*"))


def test_a_full_disk_of_backups_is_not_called_that_of_uploads(state_folder: Path) -> None:
    url = "memory://full-disk"  # from another disk, files are copied
    corpus = Corpus.open(f"sqlite:///{state_folder}/copied.db", url)
    corpus.files.add(TENANT, "large.txt", b"a" * 2 * FILE_LIMIT_BYTES)

    with full_disk(), pytest.raises(ConfigError, match="backup: the disk of backups is full"):
        create_backup(corpus.database, url, state_folder / "backup")

    corpus.close()
    assert not list(state_folder.glob("backup*"))


@pytest.mark.slow
def test_a_full_disk_of_backups_is_no_full_database(state_folder: Path, postgresql: str) -> None:
    with opened(new_database(postgresql, "full_disk"), state_folder / "blobs") as corpus:
        ingest(corpus, "a.md", "alpha " * 50_000)

        with full_disk(), pytest.raises(ConfigError, match=r"backup: (database or disk is full|disk I/O error)"):
            create_backup(corpus.database, state_folder / "blobs", state_folder / "backup")

        assert not list(state_folder.glob("backup*"))


def test_a_full_disk_leaves_the_corpus_as_it_was(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    ingest(corpus, "a.md", "alpha " * 500)
    create_backup(corpus.database, blob_root, state_folder / "backup")
    with opened(f"sqlite:///{state_folder}/small.db", state_folder / "small") as small:
        before = contents(small.database)

        with full_disk(), pytest.raises(ConfigError):
            restore_backup(small.database, state_folder / "small", state_folder / "backup")

        assert contents(small.database) == before


def two_backups(url: str, folder: Path) -> list[tuple[Path, dict[str, list[str]]]]:
    """Back up a corpus of four files, then again with three of them changed. Return folders and contents."""
    backups = []
    with opened(url, folder / "blobs") as corpus:
        for name, num_new in (("one", 4), ("two", 3)):
            for file in corpus.files.page(TENANT, PAGE).items[1:]:
                corpus.files.delete(TENANT, file.file_id)
            for number in range(num_new):
                ingest(corpus, f"{name}-{number}.md", f"{name} {number} " * 200)
            create_backup(corpus.database, folder / "blobs", folder / name)
            backups.append((folder / name, contents(corpus.database)))
    return backups


def check_whole(url: str, folder: Path, allowed: list[dict[str, list[str]]]) -> int:
    """Return the index of the allowed state that the corpus is in."""
    with opened(url, folder / "blobs") as corpus:
        assert lost_blobs(corpus.database, folder / "blobs") == []
        return allowed.index(contents(corpus.database))


def test_a_killed_restore_leaves_the_old_or_the_new_corpus(database_url: str, state_folder: Path) -> None:
    first, second = two_backups(database_url, state_folder)
    states, moment = [first[1], second[1]], 0
    has_changed = []

    is_killed = True
    while is_killed:
        moment += 1
        state = check_whole(database_url, state_folder, states)
        is_killed = restore_and_die(database_url, state_folder / "blobs", (second, first)[state][0], moment)
        has_changed.append(check_whole(database_url, state_folder, states) != state)

    # Killed before its commit, the restore has changed nothing; killed after it, everything.
    assert has_changed == sorted(has_changed)
    assert 10 < has_changed.index(True) < len(has_changed) - 2


@pytest.mark.slow
def test_a_restore_may_be_killed_at_any_moment(database_url: str, state_folder: Path) -> None:
    random_source, (first, second) = random.Random(5), two_backups(database_url, state_folder)
    states = [first[1], second[1]]

    def restore(after_s: float) -> tuple[bool, bool]:
        """Restore the other backup, or kill that. Return whether it was killed, and whether the corpus has changed."""
        state = check_whole(database_url, state_folder, states)
        backup = (second, first)[state][0]
        was_killed = restore_and_be_killed(database_url, state_folder / "blobs", backup, after_s)
        return was_killed, check_whole(database_url, state_folder, states) != state

    start = time.monotonic()
    assert restore(PATIENCE_S) == (False, True)
    whole_s = time.monotonic() - start  # it depends on the machine, and kills fall into all of it

    for _ in range(NUM_KILLS):
        was_killed, has_changed = restore(random_source.uniform(0, whole_s))
        assert was_killed or has_changed

    assert restore(PATIENCE_S) == (False, True)
