import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from corpus_samples import Clock

from models.corpus.corpus import Corpus


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where Linux has one: each commit's fsync is then free (2 s for these tests against 11)."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def database_url(state_folder: Path) -> str:
    return f"sqlite:///{state_folder}/state/corpus.db"


@pytest.fixture
def corpus(database_url: str, state_folder: Path, clock: Clock) -> Iterator[Corpus]:
    corpus = Corpus.open(database_url, state_folder / "blobs", clock)
    yield corpus
    corpus.close()
