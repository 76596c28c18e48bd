"""Make a backup, or one after another."""

import time
from collections.abc import Callable

from rich.console import Console

from models.corpus.backup.scheduled import back_up_if_due
from models.errors.base import RagError
from serve.cli.backup.places import Place
from serve.cli.backup.run import check_exists, opened, shown_progress

RETRY_S = 300.0


def create_backups(
    place: Place, every_s: float | None, console: Console, sleep: Callable[[float], None] = time.sleep
) -> None:
    """One backup; with `every_s` for ever, where a failure is printed and tried again. Raises RagError."""
    check_exists(place.storage)
    if every_s is None:
        _create(place, 0.0, console)
        return
    while True:
        sleep(_attempt(place, every_s, console))


def _attempt(place: Place, every_s: float, console: Console) -> float:
    """Make a backup if one is due. Return the seconds until the next attempt."""
    try:
        newest_s = _create(place, every_s, console)
    except RagError as error:
        console.print(f"the backup failed, and is tried again: {error}", markup=False, style="red")
        return min(every_s, RETRY_S)
    return min(max(newest_s + every_s - time.time(), 1.0), every_s)


def _create(place: Place, every_s: float, console: Console) -> float:
    """Return when the newest backup began, in Unix seconds."""
    start = time.perf_counter()
    with opened(place.storage) as database, shown_progress(console) as report:
        done = back_up_if_due(place.repository, database, place.storage.blob_root, place.retention, every_s, report)
    if done.made is not None:
        seconds = time.perf_counter() - start
        console.print(f"{done.made.name}, {seconds:.1f} s; {done.num_deleted} old ones deleted", markup=False)
    return 0.0 if done.newest is None else done.newest.started_at.timestamp()
