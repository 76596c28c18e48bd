import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from corpus_samples import Clock
from sqlalchemy import create_engine, make_url, text

from models.corpus.corpus import Corpus


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if Linux has one, where fsync is free: these tests take 2 s instead of 11."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def database_url(state_folder: Path) -> Iterator[str]:
    """SQLite, or a new database on the PostgreSQL server of RAGSERVE_TEST_POSTGRES."""
    server = os.environ.get("RAGSERVE_TEST_POSTGRES")
    if server is None:
        yield f"sqlite:///{state_folder}/state/corpus.db"
        return
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def corpus(database_url: str, state_folder: Path, clock: Clock) -> Iterator[Corpus]:
    corpus = Corpus.open(database_url, state_folder / "blobs", clock)
    yield corpus
    corpus.close()
