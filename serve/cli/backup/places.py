"""The place of the backups, and the storage that they copy."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from deployments.replica.storage import StorageConfig
from models.corpus.backup.repository import SETTING, BackupRepository, open_repository
from models.corpus.backup.retention import Retention, StoredBackup
from models.errors.configuration import ConfigError
from models.errors.requests import InvalidRequestError, NotFoundError
from serve.cli.backup.run import storage_of
from serve.config_file import read_settings

DURATION = re.compile(r"([1-9]\d{0,6})(s|m|h|d)")
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Place:
    """Backups, the storage of a deployment file, and how many backups are kept."""

    repository: BackupRepository
    storage: StorageConfig
    retention: Retention

    def backup(self, name: str | None) -> StoredBackup:
        """The backup of this name, or the newest. Raises NotFoundError, ConfigError if there is none."""
        backups = self.repository.backups()
        if name is not None:
            backups = [backup for backup in backups if backup.name == name]
            if not backups:
                raise NotFoundError("backup", name)
        if not backups:
            raise ConfigError(SETTING, "has no complete backup")
        return backups[-1]


def open_place(config: Path, data: Path | None, url: str | None, keep: Mapping[str, int] | None = None) -> Place:
    """Raises ConfigError if neither the command nor the deployment file names a place."""
    settings = read_settings(config)
    chosen = url or settings.backups.url
    if chosen is None:
        raise ConfigError(SETTING, "is not set; name the place of the backups, a folder or a URL")
    retention = settings.backups.retention.model_copy(update=dict(keep or {}))
    return Place(open_repository(chosen), storage_of(config, data), retention)


def seconds_of(duration: str) -> int:
    """The seconds of `90s`, `15m`, `6h` or `1d`. Raises InvalidRequestError."""
    match = DURATION.fullmatch(duration)
    if match is None:
        raise InvalidRequestError(f"{duration!r} is no duration such as 90s, 15m, 6h or 1d", "every")
    return int(match[1]) * UNIT_S[match[2]]


@contextmanager
def scratch_folder(folder: Path | None) -> Iterator[Path]:
    """A new folder, in `folder` if there is one. It is deleted afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="ragserve-") as temporary:
        yield Path(temporary)
