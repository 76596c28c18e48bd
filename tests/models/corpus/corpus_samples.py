"""Small documents, with chunks and embeddings that can be computed by hand."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from models.corpus.completion import Completion
from models.corpus.corpus import Corpus
from models.corpus.records import Job
from models.filters import Attributes
from models.types.arrays import FloatArray
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope

TENANT = DEFAULT_TENANT
STORE = DEFAULT_VECTOR_STORE
SCOPE = Scope(TENANT, (STORE,))
GENERATION = "tiny@1"
CHUNK_CHARS = 10
# Turn a database of version 16 into one of version 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5 and 4.
UNDO_VERSION_16 = ("DROP TABLE embedding_references", "DROP INDEX files_by_expiry")
UNDO_VERSION_15 = (*UNDO_VERSION_16, "DROP TABLE file_versions")
UNDO_VERSION_14 = (*UNDO_VERSION_15, "DROP TABLE monthly_costs")
UNDO_VERSION_13 = (*UNDO_VERSION_14, "DROP TABLE api_keys", "DROP TABLE audit_log")
UNDO_VERSION_12 = (
    *UNDO_VERSION_13,
    *(
        f"DROP TABLE {name}"
        for name in ("user_facts", "conversation_summaries", "response_vectors", "conversation_vectors")
    ),
)
UNDO_VERSION_11 = (*UNDO_VERSION_12, "DROP TABLE feedback", "DROP TABLE score_references")
UNDO_VERSION_10 = (
    *UNDO_VERSION_11,
    *(f"DROP TABLE {name}" for name in ("response_items", "responses", "conversation_items", "conversations")),
)
UNDO_VERSION_9 = (
    *UNDO_VERSION_10,
    "DROP TABLE masked_texts",
    "DROP TABLE sketch_bands",
    *(f"ALTER TABLE store_files DROP COLUMN {name}" for name in ("derived", "sketch")),
    *(f"ALTER TABLE vector_stores DROP COLUMN {name}" for name in ("enrichment", "masked_kinds")),
)
UNDO_VERSION_8 = (
    *UNDO_VERSION_9,
    "DROP TABLE outbox",
    "DROP TABLE event_sinks",
    "DROP INDEX store_files_by_status",
    *(f"ALTER TABLE store_files DROP COLUMN {name}" for name in ("failure_reason", "failed_at", "failed_attempts")),
    *(f"ALTER TABLE jobs DROP COLUMN {name}" for name in ("num_retries", "last_reason", "num_chunks", "num_embedded")),
)
UNDO_VERSION_7 = (
    *UNDO_VERSION_8,
    "ALTER TABLE store_files DROP COLUMN chunking_strategy",
    "ALTER TABLE store_files DROP COLUMN chunking_parameters",
    "ALTER TABLE vector_stores DROP COLUMN chunking",
    "ALTER TABLE chunks DROP COLUMN shown_start",
    "ALTER TABLE chunks DROP COLUMN shown_end",
)
UNDO_VERSION_6 = (
    *UNDO_VERSION_7,
    "ALTER TABLE store_files DROP COLUMN parse_report",
    "ALTER TABLE chunks DROP COLUMN source_map",
)
UNDO_VERSION_5 = (
    *UNDO_VERSION_6,
    "DROP INDEX jobs_by_turn",
    "ALTER TABLE jobs DROP COLUMN is_large",
    "ALTER TABLE jobs DROP COLUMN due_at",
)
DIM = 4


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Follower:
    """A searcher's view of one store. It applies changes, and fails if a key comes twice.

    `labels` has the received attributes by file key. `file_keys` has the file of each chunk.
    """

    seq: int = 0
    vectors: dict[int, tuple[float, ...]] = field(default_factory=dict)
    file_keys: dict[int, int] = field(default_factory=dict)
    labels: dict[int, Attributes] = field(default_factory=dict)

    def labels_of_chunks(self) -> dict[int, Attributes]:
        return {key: self.labels.get(self.file_keys[key], {}) for key in self.vectors}

    def catch_up(self, corpus: Corpus, limit: int) -> None:
        is_last = False
        while not is_last:
            changes = corpus.views.vector_changes(TENANT, STORE, self.seq, GENERATION, limit)
            for key in changes.removed_keys.tolist():
                self.vectors.pop(key, None)
                self.file_keys.pop(key, None)
            added = dict(zip(changes.added_keys.tolist(), map(tuple, changes.vectors.tolist()), strict=True))
            assert not added.keys() & self.vectors.keys()
            self.vectors |= added
            self.file_keys |= zip(changes.added_keys.tolist(), changes.added_file_keys.tolist(), strict=True)
            self.labels |= changes.attributes
            self.seq, is_last = changes.up_to_seq, changes.is_last


def cut(text: str) -> list[Chunk]:
    """Cut the text into chunks of 10 characters under the heading `Title`."""
    starts = range(0, len(text), CHUNK_CHARS)
    return [Chunk(text[at : at + CHUNK_CHARS], at, min(at + CHUNK_CHARS, len(text)), "Title", 3) for at in starts]


def embed(chunks: list[Chunk]) -> FloatArray:
    """Make vectors (len(chunks), 4) that depend only on the indexed text."""
    rows = [list(hashlib.sha256(chunk.indexed_text.encode()).digest()[:DIM]) for chunk in chunks]
    return np.array(rows, np.float32).reshape(len(chunks), DIM)


def encode(chunks: list[Chunk]) -> tuple[bytes, ...]:
    """Make token codes of 1 to 32 bytes that depend only on the indexed text. Their content means nothing."""
    digests = [hashlib.sha256(chunk.indexed_text.encode()).digest() for chunk in chunks]
    return tuple(digest[: 1 + digest[0] % 32] for digest in digests)


def completion_of(corpus: Corpus, job: Job) -> Completion:
    text = corpus.files.content(job.tenant, job.file_id).decode()
    chunks = cut(text)
    return Completion(job, text, chunks, {GENERATION: embed(chunks)}, {GENERATION: encode(chunks)})


def complete(corpus: Corpus, job: Job) -> None:
    done = completion_of(corpus, job)
    corpus.jobs.complete(job, done.text, done.chunks, done.vectors, done.token_codes)


def ingest(corpus: Corpus, filename: str, text: str, tenant: str = TENANT, store: str = STORE) -> str:
    """Upload, attach and complete a file. Return its id."""
    file = corpus.files.add(tenant, filename, text.encode())
    corpus.store_files.attach(tenant, store, file.file_id)
    for job in corpus.jobs.claim("sample worker", 100, 60.0):
        complete(corpus, job)
    return file.file_id


def stored_texts(corpus: Corpus, tenant: str = TENANT, store: str = STORE) -> list[str]:
    """Read the indexed text of every chunk, in the order of insertion."""
    return list(corpus.views.text_changes(tenant, store, 0, 1_000_000).texts)
