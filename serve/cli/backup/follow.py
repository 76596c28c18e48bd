"""Keep a standby's data at the newest backup."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from models.corpus.backup.standby import Standby
from models.errors.base import RagError
from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError
from serve.cli.backup.places import Place, scratch_folder
from serve.cli.backup.run import contents_of, opened, shown_progress

Sleep = Callable[[float], None]


def follow_backups(
    place: Place, every_s: float | None, scratch: Path | None, console: Console, sleep: Sleep = time.sleep
) -> None:
    """Restore the newest backup; with `every_s` each further one, for ever. Raises ConflictError if it is in use.

    A failure of another kind is printed and tried again.
    """
    while True:
        try:
            _catch_up(place, scratch, console)
        except ConflictError:
            raise
        except RagError as error:
            if every_s is None:
                raise
            console.print(f"the standby stays as it was: {error}", markup=False, style="red")
        if every_s is None:
            return
        sleep(every_s)


def _catch_up(place: Place, scratch: Path | None, console: Console) -> None:
    """Restore the newest backup, unless the standby has it."""
    folder = place.storage.data_dir.resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("--data", f"{folder} cannot be made: {error.strerror}") from None
    with opened(place.storage) as database, shown_progress(console) as report:
        standby, newest = Standby(database, place.storage.blob_root, folder), place.backup(None)
        standby.check_unused()
        if standby.backup == newest.name:
            return
        start = time.perf_counter()
        with scratch_folder(scratch) as temporary:
            manifest = standby.restore(newest.name, place.repository.fetch(newest.name, temporary, report), report)
    seconds, age_s = time.perf_counter() - start, (datetime.now(UTC) - manifest.moment).total_seconds()
    console.print(
        f"{newest.name}: {contents_of(manifest)}, {seconds:.1f} s; the standby is {age_s:.0f} s behind", markup=False
    )
