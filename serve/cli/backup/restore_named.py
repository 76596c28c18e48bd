"""Restore one of many backups."""

import time
from pathlib import Path

from rich.console import Console

from models.corpus.backup.restore import restore_backup
from serve.cli.backup.places import Place, scratch_folder
from serve.cli.backup.run import contents_of, opened, shown_progress


def restore_named(place: Place, name: str | None, scratch: Path | None, replace: bool, console: Console) -> None:
    """Raises ConflictError if data would be lost and `replace` is false, ConfigError if the backup is damaged."""
    backup, start = place.backup(name), time.perf_counter()
    with scratch_folder(scratch) as folder, opened(place.storage) as database, shown_progress(console) as report:
        source = place.repository.fetch(backup.name, folder, report)
        manifest = restore_backup(database, place.storage.blob_root, source, replace, report)
    seconds = time.perf_counter() - start
    console.print(f"{contents_of(manifest)} restored from {backup.name}, {seconds:.1f} s", markup=False)
