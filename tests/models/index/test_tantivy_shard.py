"""Shards of a keyword index rank together as one index ranks alone."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.filters import Comparison, Filter
from models.index import ballast, bm25
from models.index.analysis import terms_of
from models.index.bm25 import total
from models.index.follow import merge_lexical
from models.index.tantivy_index import MAX_IN_MEMORY, TantivyIndex
from models.index.tantivy_shard import TantivyShard
from models.types.ranking import LexicalRanking

WORDS = ("ferry", "museum", "island", "ticket", "the", "Öresund")
QUERY = "the ferry ferry to Öresund"
TERMS = ("ferri", "ferri", "oresund")  # of QUERY, without stop words
NORTH = Comparison("eq", "place", "north")


def texts_of(num_texts: int, seed: int = 0) -> list[str]:
    """Texts of random lengths, 5 to 60 words of which some are in the query."""
    random = np.random.default_rng(seed)
    words = np.array([*WORDS, *(f"word{number}" for number in range(40))])
    return [" ".join(random.choice(words, random.integers(5, 60))) for _ in range(num_texts)]


def shards_of(texts: Sequence[str], count: int) -> list[TantivyShard]:
    """Shards of `texts`, whose keys are their places. Every third is of file 0, which is in the north."""
    shards, keys = [TantivyShard() for _ in range(count)], np.arange(len(texts))
    for number, shard in enumerate(shards):
        own = keys[keys % count == number]
        shard.add(own, own % 3, [texts[key] for key in own])
        shard.set_attributes({0: {"place": "north"}})
    return shards


def search(
    shards: Sequence[TantivyShard], query: str = QUERY, k: int = 50, where: Filter | None = None
) -> LexicalRanking:
    """Ask all shards in two rounds, as the client does."""
    counts = total(shard.count(query) for shard in shards)
    return merge_lexical([shard.search_with(counts, query, k, where) for shard in shards], k)


def whole_of(texts: Sequence[str]) -> TantivyIndex:
    index, keys = TantivyIndex(), np.arange(len(texts))
    index.add(keys, keys % 3, list(texts))
    index.set_attributes({0: {"place": "north"}})
    return index


def scores_of(result: LexicalRanking) -> dict[int, float]:
    return dict(zip(result.ranking.keys.tolist(), result.ranking.scores.tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=70).map(" ".join), min_size=1, max_size=30),
    count=st.integers(1, 5),
    where=st.sampled_from([None, NORTH]),
)
def test_shards_rank_as_one_index(texts: list[str], count: int, where: Filter | None) -> None:
    expected = whole_of(texts).search(QUERY, 100, where)

    result = search(shards_of(texts, count), k=100, where=where)

    assert scores_of(result) == pytest.approx(scores_of(expected), rel=1e-5)
    assert result.ranking.scores.tolist() == sorted(result.ranking.scores.tolist(), reverse=True)
    assert result.term_weights == pytest.approx(expected.term_weights)


@pytest.mark.parametrize("where", [None, NORTH])
def test_shards_in_folders_rank_as_one_index(where: Filter | None) -> None:
    texts = texts_of(2 * (MAX_IN_MEMORY + 50))
    shards = shards_of(texts, 2)
    expected = whole_of(texts).search(QUERY, len(texts), where)

    result = search(shards, k=len(texts), where=where)

    assert all(shard._folder is not None for shard in shards)
    assert scores_of(result) == pytest.approx(scores_of(expected), rel=5e-4)
    assert result.term_weights == pytest.approx(expected.term_weights)


def test_a_small_and_a_large_shard_rank_as_one_index() -> None:
    texts = texts_of(2 * MAX_IN_MEMORY)
    large, small = shards_of(texts, 2)
    keys = np.arange(10**6, 10**6 + 10)
    large.add(keys, keys, texts_of(10, seed=1))

    assert large._folder is not None
    assert small._folder is None
    whole = whole_of(texts)
    whole.add(keys, keys, texts_of(10, seed=1))
    assert scores_of(search([large, small])) == pytest.approx(scores_of(whole.search(QUERY, 50)), rel=5e-4)


@pytest.mark.parametrize("num_texts", [60, 1_200])
def test_after_removals_the_shards_still_agree_on_the_counts(num_texts: int) -> None:
    texts = texts_of(num_texts)
    shards = shards_of(texts, 2)
    search(shards)
    for shard in shards:
        shard.remove(np.arange(0, num_texts, 5))

    result = search(shards, k=num_texts)

    counts = total(shard.count(QUERY) for shard in shards)
    assert counts.num_chunks == num_texts - len(range(0, num_texts, 5))
    hits = {key: Counter(terms_of(texts[key])) for key in result.ranking.keys.tolist()}
    expected = bm25.scores(list(hits.values()), TERMS, counts)
    assert all(key % 5 for key in hits)
    assert result.ranking.scores.tolist() == pytest.approx(expected, rel=1e-3)


def test_ballast_is_no_chunk(tmp_path: Path) -> None:
    shard, keys = TantivyShard(), np.arange(MAX_IN_MEMORY + 1)
    shard.add(keys, keys, ["ferry to the island"] * len(keys))
    counts = shard.count("ferry")

    for mean_length in (3, 9):
        twice_as_long = bm25.WordCounts(len(keys), len(keys), mean_length * len(keys), counts.num_with)
        shard.search_with(twice_as_long, "ferry", 10)

    for index in (shard, reloaded(shard, tmp_path)):
        assert index._index.searcher().num_docs > len(keys)
        assert len(index) == len(keys)
        assert index.count("ferry") == counts
        assert len(index.search_with(counts, f"{ballast.SHORT_WORD} {ballast.LONG_WORD}", 10).ranking) == 0
        assert len(index.search_with(counts, "ferry", 10_000).ranking) == len(keys)


def reloaded(shard: TantivyShard, folder: Path) -> TantivyShard:
    shard.save(folder)
    loaded = TantivyShard()
    loaded.load(folder)
    return loaded


def test_a_mean_length_is_reached_once() -> None:
    shards = shards_of(texts_of(1_500), 2)
    search(shards)
    num_documents = [shard._index.searcher().num_docs for shard in shards]

    search(shards, "island")

    assert [shard._index.searcher().num_docs for shard in shards] == num_documents


def test_a_shard_without_the_words_still_counts_its_texts() -> None:
    shards = [TantivyShard(), TantivyShard(), TantivyShard()]
    shards[0].add(np.array([0]), np.array([0]), ["ferry"])
    shards[1].add(np.array([1]), np.array([1]), ["museum of the island"])
    expected = whole_of(["ferry", "museum of the island"]).search("ferry", 10)

    result = search(shards, "ferry")

    assert scores_of(result) == pytest.approx(scores_of(expected))
    assert result.term_weights == pytest.approx(expected.term_weights)


def test_a_removed_key_that_comes_again_is_scored_by_its_new_text() -> None:
    shard = TantivyShard()
    shard.add(np.array([1]), np.array([1]), ["ferry ferry ferry"])
    before = search([shard], "ferry").ranking.scores[0]
    shard.remove(np.array([1]))

    shard.add(np.array([1]), np.array([1]), ["ferry museum island"])

    assert search([shard], "ferry").ranking.scores[0] < before
