"""Back up and restore the database and the data folder of a service, whether it runs or not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from deployments.replica.storage import StorageConfig
from models.corpus.backup.create import create_backup
from models.corpus.backup.manifest import Manifest
from models.corpus.backup.manifest import Progress as Report
from models.corpus.backup.restore import restore_backup
from models.corpus.database import Database, open_database
from models.errors.configuration import ConfigError
from serve.config_file import read_settings


def back_up(config: Path, data: Path | None, destination: Path, since: Path | None, console: Console) -> None:
    """Raises ConflictError if `destination` exists, ConfigError if there is no data."""
    storage = storage_of(config, data)
    check_exists(storage)
    start = time.perf_counter()
    with opened(storage) as database, shown_progress(console) as report:
        manifest = create_backup(database, storage.blob_root, destination, since, report)
    console.print(f"{contents_of(manifest)} in {destination}, {time.perf_counter() - start:.1f} s", markup=False)


def restore(config: Path, data: Path | None, source: Path, replace: bool, console: Console) -> None:
    """Raises ConflictError if data would be lost and `replace` is false, ConfigError if the backup is damaged."""
    storage = storage_of(config, data)
    start = time.perf_counter()
    with opened(storage) as database, shown_progress(console) as report:
        manifest = restore_backup(database, storage.blob_root, source, replace, report)
    seconds = time.perf_counter() - start
    console.print(f"{contents_of(manifest)} restored as of {manifest.created_at}, {seconds:.1f} s", markup=False)


def storage_of(config: Path, data: Path | None) -> StorageConfig:
    storage = read_settings(config).storage
    return storage if data is None else storage.model_copy(update={"data_dir": data})


def check_exists(storage: StorageConfig) -> None:
    """A mistyped folder would give an empty backup without an error."""
    if storage.lacks_its_file:
        raise ConfigError(str(storage.data_dir), "holds no database; pass the service's data folder with --data")


@contextmanager
def opened(storage: StorageConfig) -> Iterator[Database]:
    database = open_database(storage.url, storage.database)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def shown_progress(console: Console) -> Iterator[Report]:
    """Show one progress bar for each step."""
    columns = (TextColumn("{task.description:<20}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    tasks: dict[str, TaskID] = {}
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield report


def contents_of(manifest: Manifest) -> str:
    rows = manifest.rows
    return f"{rows['files']} files, {rows['chunks']} chunks, {manifest.blob_bytes / 1e6:.1f} MB of uploads"
