"""A database of an earlier release opens, and keeps its data."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from corpus_samples import (
    GENERATION,
    SCOPE,
    STORE,
    TENANT,
    UNDO_VERSION_5,
    UNDO_VERSION_6,
    UNDO_VERSION_7,
    UNDO_VERSION_9,
    Follower,
    complete,
    cut,
    embed,
    encode,
    ingest,
    stored_texts,
)
from sqlalchemy import Connection, Engine, create_engine, insert, inspect, select, text
from sqlalchemy.exc import DatabaseError

from models.corpus.blobs import FolderBlobStore
from models.corpus.chunking import Chunking
from models.corpus.columns import metadata
from models.corpus.corpus import Corpus
from models.corpus.database import open_database
from models.corpus.parse_report import ParseReport
from models.corpus.positions import ViewKey
from models.corpus.records import Head
from models.corpus.schema import view_positions
from models.enrichment.options import PLAIN

# The SQL of version 1, except for the two types that differ between the databases.
VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE files (
    file_key {key}, tenant TEXT NOT NULL, file_id TEXT NOT NULL, filename TEXT NOT NULL, size_bytes BIGINT NOT NULL,
    purpose TEXT NOT NULL, digest TEXT NOT NULL, created_at BIGINT NOT NULL, UNIQUE (tenant, file_id)
);
CREATE INDEX files_by_creation ON files (tenant, file_key);
CREATE INDEX files_by_digest ON files (digest);
CREATE TABLE vector_stores (
    store_key {key}, tenant TEXT NOT NULL, vector_store_id TEXT NOT NULL, name TEXT NOT NULL,
    created_at BIGINT NOT NULL, last_active_at BIGINT NOT NULL, seq BIGINT NOT NULL, UNIQUE (tenant, vector_store_id)
);
CREATE INDEX vector_stores_by_creation ON vector_stores (tenant, store_key);
CREATE TABLE file_texts (
    tenant TEXT NOT NULL, file_id TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (tenant, file_id),
    FOREIGN KEY (tenant, file_id) REFERENCES files (tenant, file_id) ON DELETE CASCADE
);
CREATE TABLE removed_chunks (
    tenant TEXT NOT NULL, vector_store_id TEXT NOT NULL, seq BIGINT NOT NULL, chunk_key BIGINT NOT NULL,
    added_seq BIGINT NOT NULL, PRIMARY KEY (tenant, vector_store_id, seq, chunk_key),
    FOREIGN KEY (tenant, vector_store_id) REFERENCES vector_stores (tenant, vector_store_id) ON DELETE CASCADE
);
CREATE TABLE store_files (
    store_file_key {key}, tenant TEXT NOT NULL, vector_store_id TEXT NOT NULL, file_id TEXT NOT NULL,
    status TEXT NOT NULL, created_at BIGINT NOT NULL, usage_bytes BIGINT NOT NULL, last_error_code TEXT,
    last_error_message TEXT, chunking_max_tokens INTEGER, chunking_overlap_tokens INTEGER, attributes JSON NOT NULL,
    UNIQUE (tenant, vector_store_id, file_id),
    FOREIGN KEY (tenant, vector_store_id) REFERENCES vector_stores (tenant, vector_store_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, file_id) REFERENCES files (tenant, file_id) ON DELETE CASCADE
);
CREATE INDEX store_files_by_creation ON store_files (tenant, vector_store_id, store_file_key);
CREATE INDEX store_files_by_file ON store_files (tenant, file_id, vector_store_id);
CREATE TABLE chunks (
    chunk_key {key}, tenant TEXT NOT NULL, vector_store_id TEXT NOT NULL, file_id TEXT NOT NULL,
    chunk_id TEXT NOT NULL, seq BIGINT NOT NULL, start_char BIGINT NOT NULL, end_char BIGINT NOT NULL,
    context TEXT NOT NULL, text TEXT NOT NULL, num_tokens BIGINT NOT NULL, UNIQUE (chunk_id),
    FOREIGN KEY (tenant, vector_store_id, file_id)
        REFERENCES store_files (tenant, vector_store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX chunks_by_file ON chunks (tenant, vector_store_id, file_id);
CREATE INDEX chunks_by_seq ON chunks (tenant, vector_store_id, seq);
CREATE TABLE jobs (
    job_id {key}, tenant TEXT NOT NULL, vector_store_id TEXT NOT NULL, file_id TEXT NOT NULL, attempts BIGINT NOT NULL,
    lease_owner TEXT, lease_expires_at FLOAT NOT NULL, UNIQUE (tenant, vector_store_id, file_id),
    FOREIGN KEY (tenant, vector_store_id, file_id)
        REFERENCES store_files (tenant, vector_store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX jobs_by_attempts ON jobs (attempts);
CREATE INDEX jobs_by_owner ON jobs (lease_owner);
CREATE TABLE vectors (
    chunk_key BIGINT NOT NULL, generation TEXT NOT NULL, tenant TEXT NOT NULL, vector_store_id TEXT NOT NULL,
    seq BIGINT NOT NULL, vector {blob} NOT NULL, PRIMARY KEY (chunk_key, generation),
    FOREIGN KEY (chunk_key) REFERENCES chunks (chunk_key) ON DELETE CASCADE
);
CREATE INDEX vectors_by_seq ON vectors (tenant, vector_store_id, generation, seq);
INSERT INTO schema_version (version) VALUES (1)
"""


class Release1:
    """Writes as the release with schema version 1 did."""

    def __init__(self, connection: Connection, blob_root: Path) -> None:
        self.connection, self._blobs, self._num_changes = connection, FolderBlobStore(blob_root), 0

    def create_schema(self) -> None:
        is_postgresql = self.connection.dialect.name == "postgresql"
        key = "BIGSERIAL PRIMARY KEY" if is_postgresql else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
        script = VERSION_1.replace("{key}", key).replace("{blob}", "BYTEA" if is_postgresql else "BLOB")
        for statement in script.split(";"):
            self.connection.execute(text(statement))
        self.add_store(STORE)

    def add_store(self, store: str) -> None:
        times = {"created_at": 10, "last_active_at": 20}
        self._insert("vector_stores", tenant=TENANT, vector_store_id=store, name=store, seq=0, **times)

    def add_file(self, file_id: str, content: str) -> None:
        named = {"tenant": TENANT, "file_id": file_id, "filename": f"{file_id}.md", "purpose": "assistants"}
        digest = self._blobs.put(content.encode())
        self._insert("files", **named, size_bytes=len(content), digest=digest, created_at=10)

    def attach(self, file_id: str, status: str, attributes: dict[str, Any], store: str = STORE) -> None:
        owner = {"tenant": TENANT, "vector_store_id": store, "file_id": file_id}
        row = {"status": status, "created_at": 10, "usage_bytes": 0, "attributes": json.dumps(attributes)}
        self._insert("store_files", **owner, **row)
        if status == "in_progress":
            self._insert("jobs", **owner, attempts=0, lease_expires_at=0.0)

    def complete(self, file_id: str, content: str, generation: str, store: str = STORE) -> None:
        owner, self._num_changes = {"tenant": TENANT, "vector_store_id": store}, self._num_changes + 1
        self.connection.execute(
            text("UPDATE vector_stores SET seq = :seq WHERE vector_store_id = :store"),
            {"seq": self._num_changes, "store": store},
        )
        pieces = cut(content)
        for piece, vector in zip(pieces, embed(pieces), strict=True):
            place = {"start_char": piece.start, "end_char": piece.end, "context": piece.context, "text": piece.text}
            name = {"file_id": file_id, "chunk_id": f"chunk_{store}_{file_id}_{piece.start}", "num_tokens": 3}
            self._insert("chunks", **owner, **name, **place, seq=self._num_changes)
            key = self.connection.execute(text("SELECT MAX(chunk_key) FROM chunks")).scalar_one()
            vector_row = {"chunk_key": key, "generation": generation, "vector": vector.tobytes()}
            self._insert("vectors", **owner, **vector_row, seq=self._num_changes)
        if store == STORE:
            self._insert("file_texts", tenant=TENANT, file_id=file_id, text=content)

    def _insert(self, table: str, **row: object) -> None:
        columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        self.connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), row)


@pytest.fixture
def old_engine(database_url: str, state_folder: Path) -> Iterator[Engine]:
    (state_folder / "state").mkdir()
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def old(old_engine: Engine, state_folder: Path) -> Iterator[Release1]:
    """An empty database of version 1. `reopen` commits the writes to it."""
    with old_engine.connect() as connection:
        release = Release1(connection, state_folder / "blobs")
        release.create_schema()
        yield release


@pytest.fixture
def reopen(old: Release1, database_url: str, state_folder: Path) -> Iterator[Callable[[], Corpus]]:
    opened: list[Corpus] = []

    def open_now() -> Corpus:
        old.connection.commit()
        opened.append(Corpus.open(database_url, state_folder / "blobs"))
        return opened[-1]

    yield open_now
    for corpus in opened:
        corpus.close()


def test_an_upgrade_keeps_everything_of_the_earlier_release(old: Release1, reopen: Callable[[], Corpus]) -> None:
    old.add_store("vs_1")
    old.add_file("file-a", "alpha beta gamma")
    old.add_file("file-b", "beta")
    old.attach("file-a", "completed", {"year": 1999})
    old.attach("file-a", "completed", {}, store="vs_1")
    old.attach("file-b", "in_progress", {})
    old.complete("file-a", "alpha beta gamma", GENERATION)
    old.complete("file-a", "alpha beta gamma", "wide@1", store="vs_1")

    corpus = reopen()

    file, store_file = corpus.files.get(TENANT, "file-a"), corpus.store_files.get(TENANT, STORE, "file-a")
    assert (file.version, file.expires_at) == (1, None)
    assert corpus.files.content(TENANT, "file-a") == b"alpha beta gamma"
    assert corpus.files.text(TENANT, "file-a") == "alpha beta gamma"
    assert (store_file.status, store_file.version, store_file.attributes) == ("completed", 1, {"year": 1999})
    assert corpus.vector_stores.get(TENANT, STORE).generation == GENERATION
    assert corpus.vector_stores.get(TENANT, "vs_1").generation == "wide@1"
    assert corpus.vector_stores.get(TENANT, STORE).metadata == {}
    changes, follower = corpus.views.text_changes(TENANT, STORE, 0), Follower()
    assert changes.texts == ("Title\nalpha beta", "Title\n gamma")
    (file_key,) = set(changes.added_file_keys.tolist())
    assert changes.attributes[file_key] == {"year": 1999}
    follower.catch_up(corpus, limit=1)
    assert sorted(follower.vectors.values()) == sorted(map(tuple, embed(cut("alpha beta gamma")).tolist()))
    assert {passage.attributes["year"] for passage in corpus.views.passages([1, 2], SCOPE).values()} == {1999}


def test_an_upgraded_corpus_accepts_writes(old: Release1, reopen: Callable[[], Corpus]) -> None:
    old.add_file("file-a", "alpha")
    old.add_file("file-b", "beta")
    old.attach("file-a", "completed", {})
    old.attach("file-b", "in_progress", {})
    old.complete("file-a", "alpha", GENERATION)
    corpus = reopen()

    corpus.files.replace(TENANT, "file-a", b"omega")
    for job in corpus.jobs.claim("worker", 10, 60):
        complete(corpus, job)

    assert sorted(stored_texts(corpus)) == ["Title\nbeta", "Title\nomega"]
    assert corpus.store_files.get(TENANT, STORE, "file-a").version == 2
    assert corpus.files.text(TENANT, "file-a") == "omega"


def test_a_file_in_a_smaller_generation_is_ingested_again(old: Release1, reopen: Callable[[], Corpus]) -> None:
    for file_id, content, generation in (("file-a", "alpha", "old@1"), ("file-b", "beta beta beta", GENERATION)):
        old.add_file(file_id, content)
        old.attach(file_id, "completed", {})
        old.complete(file_id, content, generation)

    corpus = reopen()

    assert corpus.vector_stores.get(TENANT, STORE).generation == GENERATION
    assert "Title\nalpha" in stored_texts(corpus)
    (job,) = corpus.jobs.claim("worker", 10, 60)
    assert job.file_id == "file-a"
    complete(corpus, job)
    assert len(corpus.views.vector_changes(TENANT, STORE, 0, GENERATION).added_keys) == 3
    assert corpus.store_files.get(TENANT, STORE, "file-a").status == "completed"


def test_an_upgrade_starts_views_again(old: Release1, reopen: Callable[[], Corpus]) -> None:
    old.add_store("vs_1")

    first = reopen().views.heads([(TENANT, STORE), (TENANT, "vs_1")])
    second = reopen().views.heads([(TENANT, STORE), (TENANT, "vs_1")])

    assert len({head.log_id for head in first.values()} - {""}) == 2
    assert second == first


def test_an_upgraded_schema_equals_a_new_one(
    old: Release1, reopen: Callable[[], Corpus], old_engine: Engine, tmp_path: Path
) -> None:
    reopen()
    created_url = f"sqlite:///{tmp_path}/created.db"
    if old_engine.dialect.name == "postgresql":
        pytest.skip("types are named otherwise there")
    open_database(created_url).close()
    created_engine = create_engine(created_url)

    upgraded, created = _describe(old_engine), _describe(created_engine)

    created_engine.dispose()
    assert upgraded == created
    assert upgraded.keys() == set(metadata.tables)


def test_a_failed_upgrade_changes_nothing(old: Release1, reopen: Callable[[], Corpus]) -> None:
    old.add_file("file-a", "alpha")
    old.connection.execute(text("CREATE TABLE view_positions (in_the_way INTEGER)"))

    with pytest.raises(DatabaseError, match="view_positions"):
        reopen()
    version = old.connection.execute(text("SELECT version FROM schema_version")).scalar_one()
    old.connection.execute(text("DROP TABLE view_positions"))

    assert version == 1
    assert reopen().files.get(TENANT, "file-a").version == 1


def test_leases_of_version_2_are_dropped_and_positions_kept(
    database_url: str, state_folder: Path, old_engine: Engine
) -> None:
    key = ViewKey("milvus vectors", TENANT, STORE, GENERATION)
    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        ingest(corpus, "a.md", "alpha")
        corpus.positions.claim(key, "replica", 60)
        corpus.positions.advance(key, "replica", Head(1, "log_a"), 60)
    with old_engine.begin() as connection:
        connection.execute(text("DROP TABLE leases"))
        connection.execute(text("DROP TABLE token_vectors"))
        for statement in UNDO_VERSION_5:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 2"))
        lease = {"view": f"{key.view} lease", "log_id": "replica", "seq": 9_999_999_999_999}
        connection.execute(insert(view_positions).values(key.row | lease))

    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        assert stored_texts(corpus) == ["Title\nalpha"]
        with corpus.database.reading() as connection:
            rows = connection.execute(select(view_positions)).mappings().all()
        assert rows == [key.row | {"log_id": "log_a", "seq": 1}]
        assert not corpus.positions.advance(key, "replica", Head(2, "log_a"), 60)
        assert corpus.positions.claim(key, "another replica", 60)


def test_chunks_of_version_3_stay_and_have_no_token_vectors(
    database_url: str, state_folder: Path, old_engine: Engine
) -> None:
    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        ingest(corpus, "a.md", "alpha")
        vectors = corpus.views.vector_changes(TENANT, STORE, 0, GENERATION).vectors.tolist()
    with old_engine.begin() as connection:
        connection.execute(text("DROP TABLE token_vectors"))
        for statement in UNDO_VERSION_5:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 3"))

    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        assert stored_texts(corpus) == ["Title\nalpha"]
        assert corpus.views.vector_changes(TENANT, STORE, 0, GENERATION).vectors.tolist() == vectors
        assert corpus.views.token_changes(TENANT, STORE, 0, GENERATION).codes == ()

        ingest(corpus, "b.md", "beta")

        assert corpus.views.token_changes(TENANT, STORE, 0, GENERATION).codes == encode(cut("beta"))


def test_jobs_of_version_4_are_claimed_first(database_url: str, state_folder: Path, old_engine: Engine) -> None:
    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        corpus.store_files.attach(TENANT, STORE, corpus.files.add(TENANT, "old.md", b"old" * 100_000).file_id)
    with old_engine.begin() as connection:
        for statement in UNDO_VERSION_5:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 4"))

    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        corpus.store_files.attach(TENANT, STORE, corpus.files.add(TENANT, "new.md", b"new").file_id)

        assert [job.filename for job in corpus.jobs.claim("worker", 2, 60)] == ["old.md", "new.md"]


def test_files_of_version_5_have_no_report_until_they_are_ingested_again(
    database_url: str, state_folder: Path, old_engine: Engine
) -> None:
    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        file_id = ingest(corpus, "a.md", "alpha")
    with old_engine.begin() as connection:
        for statement in UNDO_VERSION_6:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 5"))

    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        assert stored_texts(corpus) == ["Title\nalpha"]
        assert corpus.store_files.get(TENANT, STORE, file_id).parse_report is None

        corpus.files.replace(TENANT, file_id, b"omega")
        complete(corpus, *corpus.jobs.claim("worker", 1, 60))

        assert corpus.store_files.get(TENANT, STORE, file_id).parse_report == ParseReport()


def test_sizes_of_version_6_are_of_the_strategy_static(
    database_url: str, state_folder: Path, old_engine: Engine
) -> None:
    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        file_id = ingest(corpus, "a.md", "alpha")
        corpus.store_files.attach(TENANT, STORE, file_id, Chunking(300, 30))
        complete(corpus, *corpus.jobs.claim("worker", 1, 60))
    with old_engine.begin() as connection:
        for statement in UNDO_VERSION_7:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 6"))

    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        assert corpus.store_files.get(TENANT, STORE, file_id).chunking == Chunking(300, 30, "static")
        assert corpus.vector_stores.get(TENANT, STORE).chunking is None
        (passage,) = corpus.views.passages([2], SCOPE).values()
        assert passage.shown is None


def test_stores_of_version_8_ask_for_no_enrichment(database_url: str, state_folder: Path, old_engine: Engine) -> None:
    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        file_id = ingest(corpus, "a.md", "alpha")
    with old_engine.begin() as connection:
        for statement in UNDO_VERSION_9:
            connection.execute(text(statement))
        connection.execute(text("UPDATE schema_version SET version = 8"))

    with closing(Corpus.open(database_url, state_folder / "blobs")) as corpus:
        file = corpus.store_files.get(TENANT, STORE, file_id)
        assert (file.derived, file.duplicates, corpus.vector_stores.get(TENANT, STORE).options) == ({}, None, PLAIN)
        assert corpus.files.text(TENANT, file_id) == "alpha"


def _with_text(index: Mapping[str, Any]) -> dict[str, Any]:
    """The index, whose condition has no text of its own otherwise."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}


def _describe(engine: Engine) -> dict[str, object]:
    """Describe each table without its defaults, which later columns need."""
    inspector = inspect(engine)
    return {
        table: (
            sorted(
                (column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)
            ),
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted(map(repr, inspector.get_foreign_keys(table))),
            sorted(repr(_with_text(index)) for index in inspector.get_indexes(table)),
            sorted(map(repr, inspector.get_unique_constraints(table))),
        )
        for table in inspector.get_table_names()
        if not table.startswith("sqlite_")
    }
