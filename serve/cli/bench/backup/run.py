"""`ragserve bench backup`: the time of a backup and of a restore, by the number of chunks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.corpus.backup.create import create_backup
from models.corpus.backup.manifest import DATABASE
from models.corpus.backup.restore import restore_backup
from models.corpus.corpus import Corpus
from serve.cli.driver.corpus.synthetic import fill


@dataclass(frozen=True)
class BackupRow:
    """The time of one step, and the size of the tables in the backup."""

    step: str
    seconds: float
    megabytes: float

    def line(self) -> str:
        return f"| {self.step} | {self.seconds:.1f} | {self.megabytes:.0f} |"


def run(num_chunks: int, token_bytes: int, folder: Path, database_url: str | None = None) -> list[BackupRow]:
    """Fills a corpus, backs it up, restores it into an empty one and over itself.

    Everything is in `folder`, which must be empty. With the `database_url` of an empty database, the corpus is there,
    and the restore into an empty corpus is skipped. Uploads are on one disk with the backup, so they are linked.
    """
    source = Corpus.open(database_url or f"sqlite:///{folder / 'corpus.db'}", folder / "files")
    backup = folder / "backup"
    steps = [_timed("fill", lambda: fill(source, num_chunks, token_bytes))]
    steps.append(_timed("backup", lambda: create_backup(source.database, folder / "files", backup)))
    if database_url is None:
        empty = Corpus.open(f"sqlite:///{folder / 'restored.db'}", folder / "restored")
        steps.append(
            _timed("restore into an empty corpus", lambda: restore_backup(empty.database, folder / "restored", backup))
        )
        empty.close()
    steps.append(
        _timed("restore over the same", lambda: restore_backup(source.database, folder / "files", backup, replace=True))
    )
    source.close()
    megabytes = (backup / DATABASE).stat().st_size / 1e6
    return [BackupRow(step, seconds, megabytes) for step, seconds in steps]


def _timed(step: str, work: Callable[[], object]) -> tuple[str, float]:
    start = time.perf_counter()
    work()
    return step, time.perf_counter() - start
