"""A corpus of two files, and a Redis server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from models.corpus.corpus import Corpus
from tests.inline import ingest, open_corpus
from tests.serve.caching.cache_samples import RedisServer, redis_server

FILES = {
    "ovens.md": b"The oven is heated with beech wood.",
    "ships.md": b"A schooner has two masts, and a brig has two masts as well.",
}


@pytest.fixture
async def corpus(tmp_path: Path) -> AsyncIterator[Corpus]:
    corpus = open_corpus(tmp_path)
    for filename, content in FILES.items():
        await ingest(corpus, filename, content)
    yield corpus
    corpus.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server
