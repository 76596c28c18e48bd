"""A backup that is made again and again: only if one is due, and old ones go when a new one is whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.corpus.backup.manifest import Progress, ignore_progress
from models.corpus.backup.repository import BackupRepository, check_apart
from models.corpus.backup.retention import Retention, StoredBackup, is_due
from models.corpus.database import Database


@dataclass(frozen=True)
class BackupRound:
    """`made` None: no backup was due. `newest` None: there is none at all."""

    made: StoredBackup | None
    newest: StoredBackup | None
    num_deleted: int = 0


def back_up_if_due(  # noqa: PLR0913, what is copied, where to, and when
    repository: BackupRepository,
    database: Database,
    blob_root: str | Path,
    retention: Retention,
    every_s: float = 0.0,
    progress: Progress = ignore_progress,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> BackupRound:
    """Make a backup unless one began in the last `every_s` seconds, then delete what the retention does not keep.

    Nothing is deleted if the backup fails. Raises BackupUnderWayError if another process does it now,
    and ConfigError if the backups would be among the uploaded files.
    """
    check_apart(repository, blob_root)
    with repository.locked():
        backups, backup = repository.backups(), StoredBackup.at(clock())
        if not is_due(backups, every_s, backup.started_at):
            return BackupRound(None, backups[-1])
        repository.add(database, blob_root, backup, progress)
        excess = _excess(repository, retention, backups, backup)
        repository.delete(excess)
        return BackupRound(backup, backup, len(excess))


def prune(repository: BackupRepository, retention: Retention) -> int:
    """Delete what the retention does not keep, and what killed processes left. Returns the number of backups.

    It makes room for the next backup in a place that is full. Raises BackupUnderWayError.
    """
    with repository.locked():
        excess = retention.excess(backup for backup in repository.backups() if repository.is_readable(backup))
        repository.delete(excess)
    return len(excess)


def _excess(
    repository: BackupRepository, retention: Retention, backups: Sequence[StoredBackup], new: StoredBackup
) -> list[StoredBackup]:
    """The whole ones that the retention does not keep. A damaged one is kept, and in no other one's place."""
    if not retention.excess([*backups, new]):
        return []
    whole = [backup for backup in backups if repository.is_readable(backup)]
    # The new one stays, even if a clock that was wrong made older ones look newer.
    return [old for old in retention.excess([*whole, new]) if old != new]
