"""Indexes that follow the log: up to date before they answer, quick to start, never of another log."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.corpus.corpus import Corpus
from models.corpus.records import VectorChanges
from models.corpus.views import Shard, Views
from models.errors.requests import NotFoundError
from models.filters import Comparison, Filter
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.follow import DenseRequest, DenseSearch, LexicalRequest, LexicalSearch
from models.index.snapshots import Snapshots
from models.index.tantivy_index import TantivyIndex
from models.types.chunks import Chunk
from models.types.ranking import Ranking
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope

TENANT, STORE = DEFAULT_TENANT, DEFAULT_VECTOR_STORE
SCOPE = Scope(TENANT, (STORE,))
GENERATION, DIM = "tiny@1", 8


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    corpus = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", tmp_path / "files")
    yield corpus
    corpus.close()


def add(corpus: Corpus, word: str, num_chunks: int = 1, tenant: str = TENANT, **attributes: str) -> str:
    """Add a file whose chunks are all `word`, with its vector."""
    file_id = corpus.files.add(tenant, f"{word}.md", word.encode()).file_id
    corpus.store_files.attach(tenant, STORE, file_id, attributes=attributes or None)
    (job,) = corpus.jobs.claim("test", 1, 60)
    chunks = [Chunk(word, number, number + len(word), "", 1) for number in range(num_chunks)]
    corpus.jobs.complete(job, word, chunks, {GENERATION: np.tile(vector_of(word), (num_chunks, 1))})
    return file_id


def vector_of(word: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    vector = np.random.default_rng(list(word.encode())).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


@dataclass(frozen=True)
class CountingViews(Views):
    """Counts the vectors read from the log, in pages of `page_limit`."""

    num_read: list[int] = field(default_factory=list)
    page_limit: int = 4096

    def vector_changes(self, *args: Any, **kwargs: Any) -> VectorChanges:
        changes = super().vector_changes(*args, limit=self.page_limit, **kwargs)
        self.num_read.append(len(changes.added_keys))
        return changes


def dense_of(corpus: Corpus, snapshots: Snapshots | None = None, shard: Shard | None = None) -> DenseSearch:
    return DenseSearch(corpus.views, lambda dim: FaissIndex(dim, FaissConfig()), snapshots, shard)


def ask(search: DenseSearch, word: str, k: int = 3, where: Filter | None = None) -> Ranking:
    return search.search([DenseRequest(vector_of(word), GENERATION, SCOPE, k, where)])[0]


def files_of(corpus: Corpus, ranking: Ranking) -> list[str]:
    passages = corpus.views.passages(ranking.keys, SCOPE)
    return [passages[key].filename for key in ranking.keys.tolist() if key in passages]


def test_what_was_completed_is_found_and_what_was_deleted_is_not(corpus: Corpus) -> None:
    search, lexical = dense_of(corpus), LexicalSearch(corpus.views, TantivyIndex)
    walrus = add(corpus, "walrus")
    add(corpus, "penguin")

    assert files_of(corpus, ask(search, "walrus", 1)) == ["walrus.md"]
    assert len(lexical.search([LexicalRequest("walrus", SCOPE, 3)])[0].ranking) == 1

    corpus.files.delete(TENANT, walrus)

    assert files_of(corpus, ask(search, "walrus")) == ["penguin.md"]
    assert len(ask(search, "walrus")) == 1
    assert len(lexical.search([LexicalRequest("walrus", SCOPE, 3)])[0].ranking) == 0


def test_a_filter_sees_attributes_at_once_though_they_came_before_the_first_chunk(corpus: Corpus) -> None:
    search, lexical = dense_of(corpus), LexicalSearch(corpus.views, TantivyIndex)
    file_id = corpus.files.add(TENANT, "walrus.md", b"walrus").file_id
    corpus.store_files.attach(TENANT, STORE, file_id, attributes={"place": "north"})
    assert len(ask(search, "walrus")) == 0
    (job,) = corpus.jobs.claim("test", 1, 60)
    corpus.jobs.complete(job, "walrus", [Chunk("walrus", 0, 6, "", 1)], {GENERATION: vector_of("walrus")[None]})
    north, south = Comparison("eq", "place", "north"), Comparison("eq", "place", "south")

    assert len(ask(search, "walrus", where=north)) == 1
    assert len(lexical.search([LexicalRequest("walrus", SCOPE, 3, north)])[0].ranking) == 1

    corpus.store_files.set_attributes(TENANT, STORE, file_id, {"place": "south"})

    assert len(ask(search, "walrus", where=north)) == 0
    assert len(ask(search, "walrus", where=south)) == 1
    assert len(lexical.search([LexicalRequest("walrus", SCOPE, 3, north)])[0].ranking) == 0


def test_requests_that_differ_in_filter_and_store_share_a_batch(corpus: Corpus) -> None:
    search = dense_of(corpus)
    for word in ("walrus", "penguin"):
        add(corpus, word, place=word)
    wheres = [Comparison("eq", "place", "walrus"), None, Comparison("eq", "place", "penguin"), None]

    rankings = search.search([DenseRequest(vector_of("walrus"), GENERATION, SCOPE, 3, where) for where in wheres])

    assert [files_of(corpus, ranking) for ranking in rankings] == [
        ["walrus.md"],
        ["walrus.md", "penguin.md"],
        ["penguin.md"],
        ["walrus.md", "penguin.md"],
    ]


def test_an_unknown_store_is_refused(corpus: Corpus) -> None:
    request = DenseRequest(vector_of("walrus"), GENERATION, Scope(TENANT, ("vs_none",)), 3)

    with pytest.raises(NotFoundError):
        dense_of(corpus).search([request])
    with pytest.raises(NotFoundError):
        LexicalSearch(corpus.views, TantivyIndex).search([LexicalRequest("walrus", Scope(TENANT, ("vs_none",)), 3)])


def test_shards_have_every_chunk_once(corpus: Corpus) -> None:
    for number in range(7):
        add(corpus, f"word{number}", num_chunks=3)
    shards = [dense_of(corpus, shard=Shard(number, 3)) for number in range(3)]

    keys_by_shard = [ask(shard, "word1", 100).keys.tolist() for shard in shards]

    assert sorted(key for keys in keys_by_shard for key in keys) == list(range(1, 22))
    assert all(key % 3 == number for number, keys in enumerate(keys_by_shard) for key in keys)


def test_a_start_loads_the_snapshot_and_reads_only_newer_changes(corpus: Corpus, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    add(corpus, "walrus", num_chunks=2_500)
    first, lexical = dense_of(corpus, snapshots), LexicalSearch(corpus.views, TantivyIndex, snapshots)
    while first.maintain() or lexical.maintain():
        pass
    add(corpus, "penguin")
    views = CountingViews(corpus.database)

    second = DenseSearch(views, lambda dim: FaissIndex(dim, FaissConfig()), snapshots)
    again = LexicalSearch(corpus.views, TantivyIndex, snapshots)

    assert files_of(corpus, ask(second, "penguin", 1)) == ["penguin.md"]
    assert len(ask(second, "walrus", 5_000)) == 2_501
    assert views.num_read == [1]
    assert len(again.search([LexicalRequest("walrus", SCOPE, 5_000)])[0].ranking) == 2_500


def test_a_snapshot_that_is_damaged_or_of_another_log_is_not_loaded(corpus: Corpus, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    add(corpus, "walrus", num_chunks=2_500)
    first = dense_of(corpus, snapshots)
    while first.maintain():
        pass
    for file in (tmp_path / "snapshots").rglob("*"):
        if file.is_file() and file.name != "head.json":
            file.write_bytes(b"torn")

    assert len(ask(dense_of(corpus, snapshots), "walrus", 5_000)) == 2_500

    corpus.vector_stores.delete(TENANT, STORE)
    add(corpus, "penguin")

    assert len(ask(first, "penguin", 10)) == 1
    assert len(ask(dense_of(corpus, snapshots), "penguin", 10)) == 1


def test_a_view_that_missed_trimmed_removals_starts_again(corpus: Corpus) -> None:
    search = dense_of(corpus)
    gone = [add(corpus, f"word{number}") for number in range(5)]
    add(corpus, "walrus")
    assert len(ask(search, "walrus", 10)) == 6
    for file_id in gone:
        corpus.files.delete(TENANT, file_id)

    assert corpus.log.trim(max_removals=1) == 4

    assert len(ask(search, "walrus", 10)) == 1


def test_a_new_view_of_a_trimmed_log_catches_up_in_several_pages(corpus: Corpus) -> None:
    views = CountingViews(corpus.database, page_limit=2)
    for number in range(6):
        add(corpus, f"old{number}", num_chunks=2)
    for file_id in [add(corpus, f"new{number}", num_chunks=2) for number in range(4)]:
        corpus.files.delete(TENANT, file_id)
    assert corpus.log.trim(max_removals=1) > 0

    search = DenseSearch(views, lambda dim: FaissIndex(dim, FaissConfig()))

    assert len(ask(search, "old1", 100)) == 12
    assert len(views.num_read) > 2


def test_maintenance_updates_a_new_index_without_a_search(corpus: Corpus) -> None:
    search = dense_of(corpus)
    add(corpus, "walrus")

    while search.maintain():
        pass

    assert [len(follower.index or []) for follower in search._followers._by_key.values()] == [1]


def test_the_index_of_an_unused_generation_is_dropped(corpus: Corpus, tmp_path: Path) -> None:
    search = dense_of(corpus, Snapshots(tmp_path / "snapshots"))
    add(corpus, "walrus", num_chunks=2_500)
    while search.maintain():
        pass
    build = corpus.generations.claim("test", "other@1", 60)
    assert build is not None
    pending = corpus.generations.pending(build, 5_000)
    corpus.generations.add(build, pending, np.ones((len(pending), 4), np.float32))
    assert corpus.generations.flip(build)

    while search.maintain():
        pass

    assert {key[2]: len(follower.index or []) for key, follower in search._followers._by_key.items()} == {
        "other@1": 2_500
    }
    assert len(list((tmp_path / "snapshots").rglob("head.json"))) == 1
