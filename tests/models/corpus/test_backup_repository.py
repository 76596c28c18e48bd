"""Many backups in one place: complete, one at a time, shared files, and only those deleted that nothing keeps."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from backup_samples import FORK, contents
from corpus_samples import TENANT, Clock, ingest
from fsspec.implementations.memory import MemoryFileSystem

from models.corpus.backup.blob_files import blob_path, check, list_digests
from models.corpus.backup.manifest import (
    DATABASE,
    FILES,
    MANIFEST,
    Manifest,
    digests_in,
    ignore_progress,
)
from models.corpus.backup.repository import BackupRepository, FolderRepository, RemoteRepository, open_repository
from models.corpus.backup.restore import restore_backup
from models.corpus.backup.retention import Retention, StoredBackup, is_due
from models.corpus.backup.scheduled import BackupRound, back_up_if_due, prune
from models.corpus.corpus import Corpus
from models.corpus.database import open_database
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError, NotFoundError
from models.errors.storage import BlobsUnavailableError
from tests.patience import PATIENCE_S

START = datetime(2026, 11, 2, 12, tzinfo=UTC)  # a Monday
LAST_TWO = Retention(keep_last=2, keep_daily=0, keep_weekly=0)


@pytest.fixture(params=["folder", "remote"])
def url(request: pytest.FixtureRequest, state_folder: Path) -> Iterator[str]:
    folder = f"/{uuid4().hex}"
    yield str(state_folder / "backups") if request.param == "folder" else f"memory:/{folder}"
    with suppress(FileNotFoundError):
        MemoryFileSystem().rm(folder, recursive=True)


@pytest.fixture
def repository(url: str) -> BackupRepository:
    return open_repository(url)


def back_up(
    repository: BackupRepository, corpus: Corpus, blob_root: Path, hours: float = 0, **options: Any
) -> BackupRound:
    moment = START + timedelta(hours=hours)
    options = {"retention": LAST_TWO} | options
    return back_up_if_due(repository, corpus.database, blob_root, clock=lambda: moment, **options)


def test_a_place_that_cannot_be_reached_is_not_called_that_of_uploads(
    corpus: Corpus, blob_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fail)

    with pytest.raises(BlobsUnavailableError, match=r"the place of the backups cannot be reached; .* no route to host"):
        back_up(open_repository("memory://out-of-reach"), corpus, blob_root)


def restored(repository: BackupRepository, name: str, folder: Path) -> Corpus:
    """A corpus in `folder`, from the backup."""
    corpus = Corpus.open(f"sqlite:///{folder}/restored.db", folder / "restored")
    restore_backup(corpus.database, folder / "restored", repository.fetch(name, folder / "scratch"))
    return corpus


def check_whole(repository: BackupRepository, folder: Path) -> None:
    """Every backup that is listed has its tables and its files, unchanged."""
    for backup in repository.backups():
        path = repository.fetch(backup.name, folder)
        Manifest.read(path).check(path)
        check(digests_in(path / DATABASE), path / FILES, ignore_progress)


@pytest.fixture
def blob_root(state_folder: Path) -> Path:
    return state_folder / "blobs"


def test_each_backup_can_be_restored(
    repository: BackupRepository, corpus: Corpus, blob_root: Path, state_folder: Path
) -> None:
    first_id = ingest(corpus, "a.md", "alpha")
    first = back_up(repository, corpus, blob_root)
    before = contents(corpus.database)
    corpus.files.delete(TENANT, first_id)
    ingest(corpus, "b.md", "beta")
    second = back_up(repository, corpus, blob_root, hours=1)

    assert repository.backups() == [first.made, second.made]
    old = restored(repository, repository.backups()[0].name, state_folder / "old")
    new = restored(repository, repository.backups()[1].name, state_folder / "new")
    assert (contents(old.database), contents(new.database)) == (before, contents(corpus.database))
    assert old.files.content(TENANT, first_id) == b"alpha"
    with pytest.raises(NotFoundError):
        repository.fetch("backup-20200101T000000.000000Z", state_folder / "none")
    old.close()
    new.close()


def test_a_manifest_says_the_moment_of_its_tables(
    repository: BackupRepository, corpus: Corpus, blob_root: Path, state_folder: Path
) -> None:
    before = datetime.now(UTC)
    backup = back_up(repository, corpus, blob_root).made
    assert backup is not None

    manifest = Manifest.read(repository.fetch(backup.name, state_folder / "scratch"))

    assert before - timedelta(milliseconds=1) <= manifest.moment <= datetime.now(UTC)
    assert manifest.as_of is not None


def test_the_next_backup_shares_the_files_of_the_last(
    repository: BackupRepository, corpus: Corpus, blob_root: Path
) -> None:
    ingest(corpus, "a.md", "alpha")
    for hours in (0, 1):
        back_up(repository, corpus, blob_root, hours)

    if isinstance(repository, FolderRepository):
        first, second = (repository.root / backup.name / FILES for backup in repository.backups())
        (digest,) = list_digests(first)
        assert blob_path(first, digest).samefile(blob_path(second, digest))
    else:
        paths = MemoryFileSystem().find(repository._root)  # type: ignore[attr-defined]
        assert len([path for path in paths if f"/{FILES}/" in path]) == 1


def test_old_backups_go_with_the_files_that_only_they_had(
    repository: BackupRepository, corpus: Corpus, blob_root: Path, state_folder: Path
) -> None:
    file_id = ingest(corpus, "old.md", "old")
    ingest(corpus, "kept.md", "kept")
    back_up(repository, corpus, blob_root)
    corpus.files.delete(TENANT, file_id)
    rounds = [back_up(repository, corpus, blob_root, hours) for hours in (1, 2, 3)]

    assert repository.backups() == [each.made for each in rounds[1:]]
    assert [each.num_deleted for each in rounds] == [0, 1, 1]
    if isinstance(repository, RemoteRepository):
        assert len(repository._blobs.digests()) == 1
    restored(repository, repository.backups()[0].name, state_folder).close()


def test_nothing_is_copied_before_a_backup_is_due(
    repository: BackupRepository, corpus: Corpus, blob_root: Path
) -> None:
    first = back_up(repository, corpus, blob_root, every_s=3600)

    assert back_up(repository, corpus, blob_root, hours=0.9, every_s=3600) == BackupRound(None, first.made)
    assert back_up(repository, corpus, blob_root, hours=1, every_s=3600).made is not None


def test_two_at_once_are_refused(url: str, repository: BackupRepository, corpus: Corpus, blob_root: Path) -> None:
    def begin_another(*_: object) -> None:
        with pytest.raises(ConflictError, match="another backup is under way"):
            back_up(open_repository(url), corpus, blob_root, hours=1)

    back_up(repository, corpus, blob_root, progress=begin_another)

    assert len(repository.backups()) == 1
    assert back_up(repository, corpus, blob_root, hours=1).made is not None


def test_a_failed_backup_deletes_nothing(repository: BackupRepository, corpus: Corpus, blob_root: Path) -> None:
    for hours in (0, 1):
        back_up(repository, corpus, blob_root, hours)
    before = repository.backups()
    ingest(corpus, "lost.md", "lost")
    for digest in list_digests(blob_root):
        blob_path(blob_root, digest).unlink()

    with pytest.raises(ConflictError):
        back_up(repository, corpus, blob_root, hours=2)

    assert repository.backups() == before


def test_a_backup_by_a_clock_that_was_wrong_stays_the_only_casualty(
    repository: BackupRepository, corpus: Corpus, blob_root: Path
) -> None:
    for hours in (1000, 1001):
        back_up(repository, corpus, blob_root, hours)

    made = back_up(repository, corpus, blob_root, every_s=3600).made

    assert made in repository.backups()


@pytest.mark.parametrize("moment", [1, 3, 5, 7])
def test_a_killed_backup_leaves_the_last_one_whole(
    moment: int, corpus: Corpus, database_url: str, state_folder: Path, blob_root: Path
) -> None:
    repository = FolderRepository(state_folder / "backups")
    ingest(corpus, "a.md", "alpha")
    ingest(corpus, "b.md", "beta")
    first = back_up(repository, corpus, blob_root).made
    ingest(corpus, "c.md", "gamma")
    before = contents(corpus.database)

    process = FORK.Process(target=back_up_and_die, args=(database_url, blob_root, repository.root, moment))
    process.start()
    process.join(PATIENCE_S)

    assert process.exitcode in (0, -signal.SIGKILL)
    check_whole(repository, state_folder / "scratch")
    assert repository.backups()[0] == first
    last = back_up(repository, corpus, blob_root, hours=2)
    assert last.made is not None
    target = restored(repository, last.made.name, state_folder / "last")
    assert contents(target.database) == before
    target.close()
    assert [path for path in repository.root.iterdir() if ".unfinished-" in path.name] == []


def back_up_and_die(url: str, blob_root: Path, root: Path, moment: int) -> None:
    """Run in a child process, which is killed when the backup reports progress for the `moment`-th time."""
    steps = iter(range(1, moment + 1))

    def die(*_: object) -> None:
        if next(steps, moment) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    database = open_database(url)
    back_up_if_due(
        FolderRepository(root), database, blob_root, LAST_TWO, progress=die, clock=lambda: START + timedelta(hours=1)
    )


class DyingFiles(MemoryFileSystem):  # type: ignore[misc]
    """Storage whose client dies at the n-th write or deletion, before it or after it."""

    cachable = False
    num_left = 10**9
    after = False

    def _count(self) -> None:
        self.num_left -= 1
        if self.num_left <= 0:
            raise KeyboardInterrupt  # nothing here catches it

    def _step(self, work: Any, *arguments: Any, **options: Any) -> Any:
        if not self.after:
            self._count()
        result = work(*arguments, **options)
        if self.after:
            self._count()
        return result

    def pipe_file(self, *arguments: Any, **options: Any) -> Any:
        return self._step(super().pipe_file, *arguments, **options)

    def put_file(self, *arguments: Any, **options: Any) -> Any:
        return self._step(super().put_file, *arguments, **options)

    def rm_file(self, *arguments: Any, **options: Any) -> Any:
        return self._step(super().rm_file, *arguments, **options)


@pytest.mark.parametrize("after", [False, True])
def test_a_backup_to_object_storage_dies_at_any_step(
    after: bool, corpus: Corpus, state_folder: Path, blob_root: Path, clock: Clock
) -> None:
    ingest(corpus, "b.md", "beta")
    for moment in range(1, 20):
        folder = f"/{uuid4().hex}"
        repository = RemoteRepository(f"memory:/{folder}")
        for hours in (0, 1):
            file_id = ingest(corpus, f"{hours}.md", f"only {moment} {hours}")
            back_up(repository, corpus, blob_root, hours)
            corpus.files.delete(TENANT, file_id)
        dying = RemoteRepository(f"memory:/{folder}")
        dying._files = files = DyingFiles()
        dying._blobs._files = files
        object.__setattr__(dying._lease, "files", files)
        files.num_left, files.after = moment, after

        with suppress(KeyboardInterrupt):
            back_up(dying, corpus, blob_root, hours=2)

        check_whole(repository, state_folder / f"{moment}")
        assert len(repository.backups()) >= 2
        has_ended = files.num_left > 0
        if MemoryFileSystem().exists(f"{folder}/lease"):
            MemoryFileSystem().rm(f"{folder}/lease")  # as if its time had ended
        back_up(repository, corpus, blob_root, hours=3)
        check_whole(repository, state_folder / f"{moment}-last")
        MemoryFileSystem().rm(folder, recursive=True)
        if has_ended:
            break
    assert has_ended


def test_the_lease_of_a_killed_process_ends(corpus: Corpus, blob_root: Path, clock: Clock) -> None:
    folder = f"/{uuid4().hex}"
    killed, repository = RemoteRepository(f"memory:/{folder}"), RemoteRepository(f"memory:/{folder}")
    for each in (killed, repository):
        object.__setattr__(each._lease, "clock", clock)
    killed._lease._claim()

    with pytest.raises(ConflictError, match="under way"):
        back_up(repository, corpus, blob_root)
    clock.now += 121
    assert back_up(repository, corpus, blob_root).made is not None

    with pytest.raises(ConflictError, match="stopped for too long"):
        killed._lease.check()
    MemoryFileSystem().rm(folder, recursive=True)


def test_a_damaged_manifest_does_not_stop_the_next_backup(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    repository = FolderRepository(state_folder / "backups")
    first = back_up(repository, corpus, blob_root).made
    assert first is not None
    (repository.root / first.name / MANIFEST).write_text("{")

    assert back_up(repository, corpus, blob_root, hours=1).made is not None


def test_damaged_backups_are_never_deleted_and_take_no_place(
    url: str, repository: BackupRepository, corpus: Corpus, blob_root: Path
) -> None:
    made = [back_up(repository, corpus, blob_root, hours=hours).made for hours in (0, 1)]
    damaged = [back_up(repository, corpus, blob_root, hours, retention=Retention()).made for hours in (2, 3)]
    for backup, text in zip(damaged, (b"{", b"[]"), strict=True):
        assert backup is not None
        _overwrite(url, f"{backup.name}/{MANIFEST}", text)

    latest = [back_up(repository, corpus, blob_root, hours=hours).made for hours in (4, 5)]

    assert made[0] not in repository.backups()
    assert repository.backups() == [*damaged, *latest]


def _overwrite(url: str, name: str, content: bytes) -> None:
    if url.startswith("memory:"):
        MemoryFileSystem().pipe_file(f"{url.removeprefix('memory:/')}/{name}", content)
    else:
        (Path(url) / name).write_bytes(content)


def test_a_folder_of_backups_is_its_owners_alone(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    repository = FolderRepository(state_folder / "backups")
    backup = back_up(repository, corpus, blob_root).made
    assert backup is not None

    assert [path.stat().st_mode & 0o777 for path in (repository.root, repository.root / backup.name)] == [0o700] * 2


def test_a_place_that_is_not_there_is_named(corpus: Corpus, blob_root: Path, state_folder: Path) -> None:
    (state_folder / "file").write_text("")

    with pytest.raises(ConfigError, match="file"):
        back_up(FolderRepository(state_folder / "file" / "backups"), corpus, blob_root)


def at(*hours: float) -> list[StoredBackup]:
    return [StoredBackup.at(START + timedelta(hours=each)) for each in hours]


@pytest.mark.parametrize(
    ("retention", "remaining"),
    [
        ({"keep_last": 1, "keep_daily": 0, "keep_weekly": 0}, [24 * 20]),
        ({"keep_last": 3, "keep_daily": 0, "keep_weekly": 0}, [24 * 9, 24 * 19, 24 * 20]),
        # Of the first day the later one.
        ({"keep_last": 1, "keep_daily": 9, "keep_weekly": 0}, [1, 24, 24 * 8, 24 * 9, 24 * 19, 24 * 20]),
        # The weeks begin at 0, 7 and 14 days.
        ({"keep_last": 1, "keep_daily": 0, "keep_weekly": 2}, [24 * 9, 24 * 20]),
        ({"keep_last": 1, "keep_daily": 2, "keep_weekly": 9}, [24, 24 * 9, 24 * 19, 24 * 20]),
    ],
)
def test_what_is_kept(retention: dict[str, int], remaining: list[float]) -> None:
    backups = at(0, 1, 24, 24 * 8, 24 * 9, 24 * 19, 24 * 20)

    excess = Retention(**retention).excess(backups)

    assert sorted(set(backups) - set(excess)) == at(*remaining)


def test_a_backup_is_due_if_none_began_in_the_interval() -> None:
    assert is_due([], 60, START)
    assert not is_due(at(0), 60, START + timedelta(seconds=59))
    assert is_due(at(0), 60, START + timedelta(seconds=60))
    assert is_due(at(1), 60, START)


def test_only_names_of_backups_are_backups(state_folder: Path) -> None:
    for name in ("backup-monday", "backup-20261102T120000.000000Z", "backup-20261102T120000.000000Z.unfinished-1"):
        (state_folder / "backups" / name).mkdir(parents=True)
        (state_folder / "backups" / name / MANIFEST).write_text("")

    assert FolderRepository(state_folder / "backups").backups() == at(0)


def test_what_a_killed_backup_left_makes_room_before_the_next_one(
    corpus: Corpus, blob_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = FolderRepository(tmp_path / "backups")
    leftover = repository.root / "backup-20261102T110000.000000Z.unfinished-1"
    (leftover / FILES).mkdir(parents=True)
    (leftover / DATABASE).write_bytes(b"half of the tables")
    seen = []

    def create(*_: object) -> None:
        seen.append(leftover.exists())

    monkeypatch.setattr("models.corpus.backup.repository.create_backup", create)
    back_up(repository, corpus, blob_root)

    assert seen == [False]


def test_pruning_makes_room_without_a_backup(
    repository: BackupRepository, corpus: Corpus, blob_root: Path, tmp_path: Path
) -> None:
    for hours in range(4):
        ingest(corpus, f"{hours}.txt", f"text {hours}")
        back_up(repository, corpus, blob_root, hours, retention=Retention(keep_last=9))
    names = [backup.name for backup in repository.backups()]

    assert prune(repository, LAST_TWO) == 2

    assert [backup.name for backup in repository.backups()] == names[2:]
    check_whole(repository, tmp_path)
    assert prune(repository, LAST_TWO) == 0
