"""Shards of the keyword search that follow the log, each with its part of every store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.corpus.corpus import Corpus
from models.corpus.views import Shard
from models.errors.requests import NotFoundError
from models.filters import Comparison
from models.index.follow import LexicalRequest, LexicalSearch
from models.index.lexical_shards import LexicalShardSearch, ShardRequest, merge_answers, total_counts
from models.index.snapshots import Snapshots
from models.index.tantivy_index import TantivyIndex
from models.index.tantivy_shard import TantivyShard
from models.types.chunks import Chunk
from models.types.ranking import LexicalRanking
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope

TENANT, STORE = DEFAULT_TENANT, DEFAULT_VECTOR_STORE
SCOPE = Scope(TENANT, (STORE,))


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    corpus = Corpus.open(f"sqlite:///{tmp_path}/corpus.db", tmp_path / "files")
    yield corpus
    corpus.close()


def add(corpus: Corpus, texts: list[str], store: str = STORE, **attributes: str) -> str:
    """Add a file with a chunk for each text."""
    content = "\n".join(texts)
    file_id = corpus.files.add(TENANT, "a.md", content.encode()).file_id
    corpus.store_files.attach(TENANT, store, file_id, attributes=attributes or None)
    (job,) = corpus.jobs.claim("test", 1, 60)
    chunks = [Chunk(text, place, place + 1, "", 1) for place, text in enumerate(texts)]
    corpus.jobs.complete(job, content, chunks, {})
    return file_id


def shards_of(corpus: Corpus, count: int, snapshots: Snapshots | None = None) -> list[LexicalShardSearch]:
    return [LexicalShardSearch(corpus.views, TantivyShard, Shard(number, count), snapshots) for number in range(count)]


def ask(shards: list[LexicalShardSearch], request: LexicalRequest) -> LexicalRanking:
    """Both rounds of a search."""
    counted = [shard.search([ShardRequest(request)])[0] for shard in shards]
    answers = [shard.search([ShardRequest(request, total_counts(counted))])[0] for shard in shards]
    return merge_answers(answers, request.k)


def expect_same(corpus: Corpus, shards: list[LexicalShardSearch], request: LexicalRequest) -> LexicalRanking:
    """Compare with a search that has all chunks, and return its result."""
    expected = LexicalSearch(corpus.views, TantivyIndex).search([request])[0]
    result = ask(shards, request)
    by_key = dict(zip(result.ranking.keys.tolist(), result.ranking.scores.tolist(), strict=True))
    assert by_key == pytest.approx(
        dict(zip(expected.ranking.keys.tolist(), expected.ranking.scores.tolist(), strict=True)), rel=1e-5
    )
    assert result.term_weights == pytest.approx(expected.term_weights)
    return result


def animals(number: int) -> list[str]:
    return [f"walrus {'penguin ' * (chunk % 4)}number{number} {'ice ' * (chunk % 7)}" for chunk in range(9)]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_every_shard_indexes_its_own_chunks(corpus: Corpus, count: int) -> None:
    for number in range(3):
        add(corpus, animals(number))
    shards, request = shards_of(corpus, count), LexicalRequest("penguin ice", SCOPE, 100)

    expect_same(corpus, shards, request)

    counted = [shard.search([ShardRequest(request)])[0].counts[0].num_chunks for shard in shards]
    assert sum(counted) == 27
    assert max(counted) - min(counted) <= 1


def test_changes_removals_and_filters_reach_every_shard(corpus: Corpus) -> None:
    shards = shards_of(corpus, 2)
    assert len(ask(shards, LexicalRequest("walrus", SCOPE, 10)).ranking) == 0
    north, south = add(corpus, animals(0), place="north"), add(corpus, animals(1), place="south")
    in_the_north = LexicalRequest("penguin", SCOPE, 100, Comparison("eq", "place", "north"))

    assert len(expect_same(corpus, shards, in_the_north).ranking) == 6
    corpus.store_files.set_attributes(TENANT, STORE, south, {"place": "north"})
    assert len(expect_same(corpus, shards, in_the_north).ranking) == 12
    corpus.files.delete(TENANT, north)
    assert len(ask(shards, in_the_north).ranking) == 6


def test_each_store_is_scored_with_its_own_counts(corpus: Corpus) -> None:
    other = corpus.vector_stores.create(TENANT, "other").vector_store_id
    empty = corpus.vector_stores.create(TENANT, "empty").vector_store_id
    add(corpus, animals(0))
    add(corpus, ["penguin", "ice ice"], store=other)

    expect_same(corpus, shards_of(corpus, 3), LexicalRequest("penguin ice", Scope(TENANT, (STORE, empty, other)), 100))


def test_an_unknown_store_is_refused(corpus: Corpus) -> None:
    (shard, _) = shards_of(corpus, 2)

    with pytest.raises(NotFoundError):
        shard.search([ShardRequest(LexicalRequest("walrus", Scope(TENANT, ("vs_none",)), 3))])


def test_a_restart_and_another_number_of_shards_find_the_same(corpus: Corpus, tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    add(corpus, [f"walrus number{number} {'ice ' * (number % 5)}" for number in range(4_200)])
    first = shards_of(corpus, 2, snapshots)
    while any(shard.maintain() for shard in first):
        pass
    request = LexicalRequest("walrus number7", SCOPE, 20)
    expected = ask(first, request)

    restarted, resharded = shards_of(corpus, 2, snapshots), shards_of(corpus, 3, snapshots)

    assert len(list((tmp_path / "snapshots").rglob("head.json"))) == 2
    assert ask(restarted, request).ranking.keys[0] == expected.ranking.keys[0] == 8
    assert ask(resharded, request).ranking.scores.tolist() == pytest.approx(expected.ranking.scores.tolist(), rel=1e-3)
