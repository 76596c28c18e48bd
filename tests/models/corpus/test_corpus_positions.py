"""Positions of shared views: they move only under a lease on their key."""

from collections.abc import Callable

import pytest
from corpus_samples import GENERATION, STORE, TENANT, Clock, ingest

from models.corpus.corpus import Corpus
from models.corpus.positions import ViewKey
from models.corpus.records import Head

KEY = ViewKey("milvus vectors", TENANT, STORE, GENERATION)
START, HEAD = Head(0, ""), Head(7, "log_a")


def test_a_claimed_key_has_a_position(corpus: Corpus) -> None:
    assert corpus.positions.get([KEY]) == {}

    assert corpus.positions.claim(KEY, "first", 30)

    assert corpus.positions.get([KEY]) == {KEY: START}


def test_a_position_moves_under_its_lease_alone(corpus: Corpus, clock: Clock) -> None:
    corpus.positions.claim(KEY, "first", 30)

    assert not corpus.positions.claim(KEY, "second", 30)
    assert not corpus.positions.advance(KEY, "second", HEAD, 30)
    assert corpus.positions.get([KEY]) == {KEY: START}
    clock.now += 20
    assert corpus.positions.advance(KEY, "first", HEAD, 30)
    assert corpus.positions.get([KEY]) == {KEY: HEAD}
    clock.now += 29
    assert not corpus.positions.claim(KEY, "second", 30)


def test_a_replica_that_lost_its_lease_moves_nothing(corpus: Corpus, clock: Clock) -> None:
    corpus.positions.claim(KEY, "slow", 30)
    clock.now += 30
    assert corpus.positions.claim(KEY, "quick", 30)

    assert not corpus.positions.advance(KEY, "slow", HEAD, 30)
    corpus.positions.release(KEY, "slow")
    corpus.positions.forget(KEY, "slow")

    assert corpus.positions.get([KEY]) == {KEY: START}
    assert not corpus.positions.claim(KEY, "third", 30)


@pytest.mark.parametrize(
    "other",
    [
        ViewKey("milvus words", TENANT, STORE, GENERATION),
        ViewKey("milvus vectors", "acme", STORE, GENERATION),
        ViewKey("milvus vectors", TENANT, "vs_1", GENERATION),
        ViewKey("milvus vectors", TENANT, STORE, ""),
    ],
)
def test_each_key_has_a_lease_of_its_own(corpus: Corpus, other: ViewKey) -> None:
    corpus.positions.claim(KEY, "first", 30)

    assert corpus.positions.claim(other, "second", 30)
    assert not corpus.positions.claim(KEY, "second", 30)


@pytest.mark.parametrize(
    ("end", "positions"),
    [
        (lambda corpus: corpus.positions.release(KEY, "first"), {KEY: HEAD}),
        (lambda corpus: corpus.positions.forget(KEY, "first"), {}),
    ],
)
def test_a_lease_that_was_ended_can_be_claimed_at_once(
    corpus: Corpus, end: Callable[[Corpus], None], positions: dict[ViewKey, Head]
) -> None:
    corpus.positions.claim(KEY, "first", 30)
    corpus.positions.advance(KEY, "first", HEAD, 30)

    end(corpus)

    assert corpus.positions.get([KEY]) == positions
    assert corpus.positions.claim(KEY, "second", 30)


def test_a_rewound_position_is_no_further_than_the_head_it_was_given(corpus: Corpus) -> None:
    corpus.positions.claim(KEY, "first", 30)
    corpus.positions.advance(KEY, "first", HEAD, 30)

    corpus.positions.rewind(KEY, Head(9, "log_a"))
    assert corpus.positions.get([KEY]) == {KEY: HEAD}
    corpus.positions.rewind(KEY, Head(3, "log_a"))
    assert corpus.positions.get([KEY]) == {KEY: Head(3, "log_a")}
    corpus.positions.rewind(KEY, Head(1, "log_b"))
    assert corpus.positions.get([KEY]) == {KEY: START}


def test_orphans_are_keys_that_no_store_needs(corpus: Corpus) -> None:
    ingest(corpus, "a.md", "alpha")
    retired, deleted = ViewKey(KEY.view, TENANT, STORE, "old@1"), ViewKey(KEY.view, TENANT, "vs_gone", GENERATION)
    for key in (KEY, retired, deleted, ViewKey("another view", TENANT, "vs_gone", GENERATION)):
        corpus.positions.claim(key, "first", 30)

    assert sorted(corpus.positions.orphans(KEY.view)) == [retired, deleted]
