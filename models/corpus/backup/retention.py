"""Which backups are kept: the last ones, one a day, one a week."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

NAME_FORMAT = "backup-%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True, order=True)
class StoredBackup:
    """A complete backup. It has what was committed before `started_at`, and some of what came next."""

    started_at: datetime
    name: str

    @staticmethod
    def at(moment: datetime) -> "StoredBackup":
        return StoredBackup(moment, moment.strftime(NAME_FORMAT))

    @staticmethod
    def named(name: str) -> "StoredBackup | None":
        """None: this is no name of a backup."""
        try:
            return StoredBackup(datetime.strptime(name, NAME_FORMAT).replace(tzinfo=UTC), name)
        except ValueError:
            return None


class Retention(BaseModel):
    """A backup is kept if any of these keeps it. The newest one always is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_last: int = Field(default=7, ge=1, le=1_000, description="Number of the newest backups that are kept.")
    keep_daily: int = Field(
        default=7, ge=0, le=366, description="Number of days with backups whose newest one is kept. Days are in UTC."
    )
    keep_weekly: int = Field(
        default=4, ge=0, le=520, description="Number of weeks with backups whose newest one is kept."
    )

    def excess(self, backups: Iterable[StoredBackup]) -> list[StoredBackup]:
        """Those that nothing keeps, oldest first."""
        newest_first = sorted(backups, reverse=True)
        needed = {*newest_first[: self.keep_last]}
        needed.update(_newest_by(datetime.date, newest_first, self.keep_daily))
        needed.update(_newest_by(lambda moment: moment.isocalendar()[:2], newest_first, self.keep_weekly))
        return sorted(set(newest_first) - needed)


def _newest_by(
    period: Callable[[datetime], object], newest_first: Sequence[StoredBackup], number: int
) -> list[StoredBackup]:
    """The newest backup of each of the last periods that have any."""
    newest: dict[object, StoredBackup] = {}
    for backup in newest_first:
        newest.setdefault(period(backup.started_at), backup)
    return list(newest.values())[:number]


def is_due(backups: Iterable[StoredBackup], every_s: float, now: datetime) -> bool:
    """Whether no backup began in the last `every_s` seconds. One of the future tells nothing: a clock was wrong."""
    oldest = now - timedelta(seconds=every_s)
    return not any(oldest < backup.started_at <= now for backup in backups)
