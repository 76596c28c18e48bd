"""`ragserve bench backup`: how long a backup and a restore of so many chunks take."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.corpus.backup.create import create_backup
from models.corpus.backup.manifest import DATABASE
from models.corpus.backup.restore import restore_backup
from models.corpus.corpus import Corpus
from models.corpus.records import Job
from models.types import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Chunk

CHUNKS_A_FILE = 100
CHUNK_CHARS = 800
DIM = 384
SEED = 7
WORDS = 20_000
GENERATION = "benchmark@1"


@dataclass(frozen=True)
class BackupRow:
    """One step: how long it took, with so many megabytes of tables in the backup."""

    step: str
    seconds: float
    megabytes: float


def run(num_chunks: int, folder: Path, database_url: str | None = None) -> list[BackupRow]:
    """Fills a corpus, backs it up, restores it into an empty one and over itself.

    Everything is in `folder`, which must be empty; with a `database_url`, which must be of an empty database too, the
    corpus is there and the restore into an empty one is left out. Uploads are on one disk with the backup: linked.
    """
    source = Corpus.open(database_url or f"sqlite:///{folder / 'corpus.db'}", folder / "files")
    backup = folder / "backup"
    rows = [_timed("fill", lambda: _fill(source, num_chunks))]
    rows.append(_timed("backup", lambda: create_backup(source.database, folder / "files", backup)))
    if database_url is None:
        empty = Corpus.open(f"sqlite:///{folder / 'restored.db'}", folder / "restored")
        rows.append(
            _timed("restore into an empty corpus", lambda: restore_backup(empty.database, folder / "restored", backup))
        )
        empty.close()
    rows.append(
        _timed("restore over the same", lambda: restore_backup(source.database, folder / "files", backup, replace=True))
    )
    source.close()
    megabytes = (backup / DATABASE).stat().st_size / 1e6
    return [BackupRow(step, seconds, megabytes) for step, seconds in rows]


def _timed(step: str, work: Callable[[], object]) -> tuple[str, float]:
    start = time.perf_counter()
    work()
    return step, time.perf_counter() - start


def _fill(corpus: Corpus, num_chunks: int) -> None:
    chance = np.random.default_rng(SEED)
    vocabulary = [f"{chance.integers(1 << 40):x}" for _ in range(WORDS)]
    for number in range(0, num_chunks, CHUNKS_A_FILE):
        words = chance.choice(vocabulary, CHUNKS_A_FILE * CHUNK_CHARS // 9)
        content = " ".join(words)[: CHUNK_CHARS * min(CHUNKS_A_FILE, num_chunks - number)]
        file = corpus.files.add(DEFAULT_TENANT, f"{number}.txt", content.encode())
        corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
        for job in corpus.jobs.claim("benchmark", 1, 600.0):
            _complete(corpus, job, content, chance)


def _complete(corpus: Corpus, job: Job, content: str, chance: np.random.Generator) -> None:
    chunks = [
        Chunk(content[at : at + CHUNK_CHARS], at, min(at + CHUNK_CHARS, len(content)), f"File {job.filename}", 200)
        for at in range(0, len(content), CHUNK_CHARS)
    ]
    vectors = chance.standard_normal((len(chunks), DIM), np.float32)
    corpus.jobs.complete(job, content, chunks, {GENERATION: vectors})
