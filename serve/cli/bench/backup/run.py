"""`ragserve bench backup`: the time of a backup and of a restore, by the number of chunks."""

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

CHUNKS_PER_FILE = 100
CHUNK_CHARS, WORD_CHARS = 800, 9
CHUNK_TOKENS = 200
DIM = 384
SEED = 7
NUM_WORDS = 20_000
GENERATION = "benchmark@1"
LEASE_S = 600.0


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
    steps = [_timed("fill", lambda: _fill(source, num_chunks, token_bytes))]
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


def _fill(corpus: Corpus, num_chunks: int, token_bytes: int) -> None:
    generator = np.random.default_rng(SEED)
    vocabulary = [f"{generator.integers(1 << 40):x}" for _ in range(NUM_WORDS)]
    for number in range(0, num_chunks, CHUNKS_PER_FILE):
        words = generator.choice(vocabulary, CHUNKS_PER_FILE * CHUNK_CHARS // WORD_CHARS)
        content = " ".join(words)[: CHUNK_CHARS * min(CHUNKS_PER_FILE, num_chunks - number)]
        file = corpus.files.add(DEFAULT_TENANT, f"{number}.txt", content.encode())
        corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
        for job in corpus.jobs.claim("benchmark", 1, LEASE_S):
            _complete(corpus, job, content, token_bytes, generator)


def _complete(corpus: Corpus, job: Job, content: str, token_bytes: int, generator: np.random.Generator) -> None:
    starts = range(0, len(content), CHUNK_CHARS)
    chunks = [
        Chunk(content[start:end], start, end, f"File {job.filename}", CHUNK_TOKENS)
        for start, end in ((start, min(start + CHUNK_CHARS, len(content))) for start in starts)
    ]
    vectors = generator.standard_normal((len(chunks), DIM), np.float32)
    codes = {GENERATION: [generator.bytes(token_bytes) for _ in chunks]} if token_bytes else {}
    corpus.jobs.complete(job, content, chunks, {GENERATION: vectors}, codes)
