"""Many backups in one place, which is a folder or object storage.

FOLDER/backup-20261129T031500.000000Z/    a backup each, as manifest.py describes it; they share files by hard links
URL/backup-…/manifest.json, corpus.db     in object storage the files stand beside the backups, each content once,
URL/backup-…/digests                      and this lists those of the backup
URL/files/ab/abcd…
"""

import fcntl
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from models.corpus.backup.blob_files import place
from models.corpus.backup.create import copy_corpus, create_backup, describe
from models.corpus.backup.manifest import (
    DATABASE,
    FILES,
    MANIFEST,
    UNFINISHED,
    BackupUnderWayError,
    Manifest,
    Progress,
    ignore_progress,
    typed_errors,
)
from models.corpus.backup.retention import StoredBackup
from models.corpus.backup.storage_lease import PLACE, StorageLease, place_errors
from models.corpus.blobs import BlobStore, FolderBlobStore
from models.corpus.database import Database
from models.corpus.remote_blobs import RemoteBlobStore, open_blobs
from models.errors.configuration import ConfigError
from models.errors.requests import NotFoundError
from models.errors.storage import BlobsUnavailableError
from models.filesystem import has_protocol, open_filesystem, protocol_of

SETTING = "backups.url"
LOCK, LEASE, DIGESTS = ".lock", "lease", "digests"
ANY_BACKUP = "backup-*"
SCRATCH = "the disk of the scratch folder"


class BackupRepository(Protocol):
    """Backups, by name. Storage that fails raises BlobsUnavailableError or ConfigError."""

    def backups(self) -> list[StoredBackup]:
        """All that are complete, oldest first."""

    def is_readable(self, backup: StoredBackup) -> bool:
        """Whether its manifest is whole, and of a version that this release restores."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep others from adding and deleting during the block. Raises BackupUnderWayError."""

    def add(self, database: Database, blob_root: str | Path, backup: StoredBackup, progress: Progress) -> None:
        """Make a backup of this name. It is complete, or it is not there. The caller has the lock."""

    def fetch(self, name: str, scratch: Path, progress: Progress = ignore_progress) -> Path:
        """The folder of a backup; in `scratch`, a new folder, if it must be downloaded. Raises NotFoundError."""

    def delete(self, backups: Sequence[StoredBackup]) -> None:
        """Delete these, and what killed processes left. The caller has the lock."""


def open_repository(place_of_backups: str | Path) -> BackupRepository:
    """The backups of a folder or a URL. Raises ConfigError for a URL that cannot be used."""
    if not has_protocol(str(place_of_backups)):
        return FolderRepository(Path(place_of_backups))
    if protocol_of(str(place_of_backups)) in ("file", "local"):
        return FolderRepository(Path(open_filesystem(SETTING, str(place_of_backups))[1]))
    return RemoteRepository(str(place_of_backups))


@dataclass(frozen=True)
class FolderRepository:
    """Each backup is a folder, which `ragserve restore` takes too."""

    root: Path

    def backups(self) -> list[StoredBackup]:
        return _named(path.parent.name for path in self.root.glob(f"{ANY_BACKUP}/{MANIFEST}"))

    def is_readable(self, backup: StoredBackup) -> bool:
        return _is_readable(self.root / backup.name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        with typed_errors(self.root):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.root / LOCK).open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupUnderWayError(str(self.root)) from None
            yield  # the system ends the lock of a process that dies

    def add(self, database: Database, blob_root: str | Path, backup: StoredBackup, progress: Progress) -> None:
        with typed_errors(self.root):
            self._clear()  # what a killed process left may have the room that this one needs
        create_backup(database, blob_root, self.root / backup.name, self._newest_readable(), progress)

    def _newest_readable(self) -> Path | None:
        """The backup whose files the next one shares. A damaged manifest must not stop the next backup."""
        names = (backup.name for backup in reversed(self.backups()) if self.is_readable(backup))
        name = next(names, None)
        return None if name is None else self.root / name

    def fetch(self, name: str, scratch: Path, progress: Progress = ignore_progress) -> Path:
        if StoredBackup.named(name) not in self.backups():
            raise NotFoundError("backup", name)
        return self.root / name

    def delete(self, backups: Sequence[StoredBackup]) -> None:
        with typed_errors(self.root):
            for backup in backups:
                # A folder with this name is a whole backup, also when this process is killed now.
                (self.root / backup.name).rename(self.root / f"{backup.name}{UNFINISHED}deletion")
            self._clear()

    def _clear(self) -> None:
        for leftover in self.root.glob(f"{ANY_BACKUP}{UNFINISHED}*"):
            shutil.rmtree(leftover)


def check_apart(repository: BackupRepository, blob_root: str | Path) -> None:
    """Raise ConfigError for a folder among the uploaded files: what loses or sweeps these takes the backups too."""
    if not isinstance(repository, FolderRepository) or has_protocol(str(blob_root)):
        return
    folder, uploads = repository.root.resolve(), Path(blob_root).resolve()
    if folder == uploads.parent or folder.is_relative_to(uploads):
        raise ConfigError(SETTING, f"{repository.root} is the service's data folder; name a folder of its own")


class RemoteRepository:
    """Backups behind a URL. The manifest is written last and deleted first, so a backup with a manifest is whole."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError. Nothing is read or written yet."""
        self._files, root = open_filesystem(SETTING, url)
        self._root = root.rstrip("/")
        self._blobs = RemoteBlobStore(f"{url.rstrip('/')}/{FILES}", SETTING, PLACE)
        self._lease = StorageLease(self._files, f"{self._root}/{LEASE}")

    def backups(self) -> list[StoredBackup]:
        with place_errors():
            paths: list[str] = self._files.glob(f"{self._root}/{ANY_BACKUP}/{MANIFEST}")
        return _named(path.split("/")[-2] for path in paths)

    def is_readable(self, backup: StoredBackup) -> bool:
        with TemporaryDirectory() as folder, self._reporting_lost_place():
            with place_errors():
                self._files.get_file(self._path(backup.name, MANIFEST), str(Path(folder) / MANIFEST))
            return _is_readable(Path(folder))

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._reporting_lost_place(), self._lease.taken():
            yield

    def add(self, database: Database, blob_root: str | Path, backup: StoredBackup, progress: Progress) -> None:
        with TemporaryDirectory() as folder, self._reporting_lost_place():
            tables = Path(folder) / DATABASE
            copied = _ListedBlobs(self._blobs)
            with typed_errors(Path(folder)):
                snapshot = copy_corpus(database, [open_blobs(blob_root)], copied, tables, progress)
                manifest = describe(tables, snapshot)
            with place_errors():
                self._files.put_file(str(tables), self._path(backup.name, DATABASE))
            self._write(backup.name, DIGESTS, "\n".join(snapshot.digests))
            if missing := set(snapshot.digests) - self._blobs.digests():
                raise BlobsUnavailableError(f"{len(missing)} files of the backup are gone again", where=PLACE)
            self._lease.check()
            self._write(backup.name, MANIFEST, manifest.model_dump_json(indent=2))

    def fetch(self, name: str, scratch: Path, progress: Progress = ignore_progress) -> Path:
        if StoredBackup.named(name) not in self.backups():
            raise NotFoundError("backup", name)
        target = scratch / name
        with typed_errors(target):
            target.mkdir(mode=0o700, parents=True)
            with self._reporting_lost_place(), place_errors():
                for file in (DATABASE, MANIFEST):
                    self._files.get_file(self._path(name, file), str(target / file))
            fetched = FolderBlobStore(target / FILES, disk=SCRATCH)
            if missing := place(self._digests(name), [self._blobs], fetched, progress):
                raise ConfigError(f"{self._root}/{name}", f"is damaged: the uploaded file {missing[0]} is missing")
        return target

    def delete(self, backups: Sequence[StoredBackup]) -> None:
        for backup in backups:
            self._remove(self._path(backup.name, MANIFEST))
        names = {backup.name for backup in self.backups()}
        with place_errors():
            paths: list[str] = self._files.glob(f"{self._root}/{ANY_BACKUP}/*")
        leftovers = [path for path in paths if path.split("/")[-2] not in names]
        for path in leftovers:
            self._remove(path)
        if leftovers:
            self._sweep(names)

    def _sweep(self, names: Iterable[str]) -> None:
        """Delete the files that no backup names. A backup whose list cannot be read stops this."""
        used = {digest for name in names for digest in self._digests(name)}
        for digest in self._blobs.digests() - used:
            self._lease.check()
            self._blobs.delete(digest)

    def _digests(self, name: str) -> list[str]:
        with self._reporting_lost_place(), place_errors():
            content: bytes = self._files.cat_file(self._path(name, DIGESTS))
        return content.decode().split()

    def _path(self, name: str, file: str) -> str:
        return f"{self._root}/{name}/{file}"

    def _write(self, name: str, file: str, content: str) -> None:
        with place_errors():
            self._files.pipe_file(self._path(name, file), content.encode())

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError), place_errors():
            self._files.rm_file(path)

    @contextmanager
    def _reporting_lost_place(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ConfigError(f"{SETTING} {self._root}", f"is not there, or lacks a file: {error}") from error


@dataclass
class _ListedBlobs:
    """A store of blobs that is listed once: a request for each of 100,000 files would take an hour."""

    blobs: BlobStore
    stored: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stored = self.blobs.digests()

    def put(self, content: bytes) -> str:
        digest = self.blobs.put(content)
        self.stored.add(digest)
        return digest

    def get(self, digest: str) -> bytes:
        return self.blobs.get(digest)

    def delete(self, digest: str) -> None:
        self.blobs.delete(digest)
        self.stored.discard(digest)

    def exists(self, digest: str) -> bool:
        return digest in self.stored

    def digests(self) -> set[str]:
        return set(self.stored)


def _is_readable(folder: Path) -> bool:
    try:
        Manifest.read(folder)
    except ConfigError:
        return False
    return True


def _named(names: Iterable[str]) -> list[StoredBackup]:
    """The backups of these names, oldest first. Folders of other names are none."""
    backups: list[Any] = [StoredBackup.named(name) for name in names]
    return sorted(backup for backup in backups if backup is not None)
