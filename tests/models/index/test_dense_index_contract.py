"""The contract of DenseIndex, run on each backend. Exact backends return what the oracle returns."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from dense_backends import DENSE_BACKENDS, DenseBackend
from filter_samples import ATTRIBUTES, EVERYTHING, FILES, NOTHING, WHERES, name_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors.requests import ConflictError
from models.filters import Attributes, Comparison, Filter, matches
from models.index.base import DenseIndex
from models.index.exact import ExactIndex
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import Ranking

AXES = np.eye(3, dtype=np.float32)
DIM = 16
CHUNKS_PER_FILE = 60  # enough to train every kind


@pytest.fixture(params=DENSE_BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> DenseBackend:
    return request.param


@pytest.fixture
def index(backend: DenseBackend) -> DenseIndex:
    return backend.make(3)


@pytest.fixture
def filled(backend: DenseBackend) -> DenseIndex:
    """Chunks of FILES with their ATTRIBUTES. `file_of` maps a chunk to its file."""
    index = backend.make(DIM)
    file_keys = np.repeat(np.array(FILES), CHUNKS_PER_FILE)
    index.add(np.arange(len(file_keys)), file_keys, unit_vectors(len(file_keys), DIM, seed=1))
    index.set_attributes(ATTRIBUTES)
    return index


def file_of(key: int) -> int:
    return FILES[key // CHUNKS_PER_FILE]


def keys(*values: int) -> KeyArray:
    return np.array(values, np.int64)


def unit_vectors(num: int, dim: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((num, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def add_axes(index: DenseIndex) -> None:
    index.add(keys(10, 20, 30), keys(1, 2, 3), AXES)


def test_search_returns_the_nearest_first_with_its_inner_product(index: DenseIndex) -> None:
    add_axes(index)

    (ranking,) = index.search(np.array([[0.6, 0.8, 0.0]], np.float32), k=2)

    assert ranking.keys.tolist() == [20, 10]
    assert ranking.scores.tolist() == pytest.approx([0.8, 0.6])


def test_each_row_of_a_batch_gets_its_own_ranking(index: DenseIndex) -> None:
    add_axes(index)

    rankings = index.search(AXES, k=1)

    assert [ranking.keys.tolist() for ranking in rankings] == [[10], [20], [30]]


def test_scores_are_float32_and_keys_int64_up_to_two_to_the_40(index: DenseIndex) -> None:
    index.add(keys(2**40, 0), keys(2**40, 0), AXES[:2])

    (ranking,) = index.search(AXES[:1], k=2)

    assert (ranking.keys.dtype, ranking.scores.dtype) == (np.int64, np.float32)
    assert ranking.keys.tolist() == [2**40, 0]


def test_fewer_hits_than_k_where_the_index_is_small(index: DenseIndex) -> None:
    index.add(keys(10, 20), keys(1, 1), AXES[:2])

    (ranking,) = index.search(AXES[:1], k=50)

    assert ranking.keys.tolist() == [10, 20]


@pytest.mark.parametrize("where", [None, EVERYTHING])
def test_an_empty_index_finds_nothing(index: DenseIndex, where: Filter | None) -> None:
    (ranking,) = index.search(AXES[:1], 5, where)

    assert len(ranking) == len(index) == 0


def test_no_queries_give_no_rankings(index: DenseIndex) -> None:
    add_axes(index)

    assert index.search(np.empty((0, 3), np.float32), k=5) == []


def test_adding_nothing_changes_nothing(index: DenseIndex) -> None:
    index.add(keys(), keys(), np.empty((0, 3), np.float32))
    index.set_attributes({})

    assert len(index) == 0


def test_a_removed_key_is_not_found_and_unknown_keys_are_ignored(index: DenseIndex) -> None:
    add_axes(index)

    index.remove(keys(20, 999, 20))
    index.remove(keys(20))

    (ranking,) = index.search(AXES[1:2], k=3)
    assert sorted(ranking.keys.tolist()) == [10, 30]
    assert len(index) == 2


def test_removing_nothing_or_everything_is_fine(index: DenseIndex) -> None:
    add_axes(index)

    index.remove(keys())
    index.remove(keys(10, 20, 30))

    assert len(index) == 0
    assert len(index.search(AXES[:1], k=1)[0]) == 0


def test_a_removed_key_can_be_added_again_with_another_vector_and_file(index: DenseIndex) -> None:
    add_axes(index)
    index.set_attributes({4: {"place": "north"}})
    index.remove(keys(10))

    index.add(keys(10), keys(4), AXES[2:])
    index.remove(keys(30))

    assert index.search(AXES[2:], 1)[0].keys.tolist() == [10]
    assert index.search(AXES[2:], 3, Comparison("eq", "place", "north"))[0].keys.tolist() == [10]
    assert len(index) == 2


@pytest.mark.parametrize("vectors", [np.ones((1, 4), np.float32), np.ones(3, np.float32)])
def test_vectors_of_another_space_are_refused(index: DenseIndex, vectors: FloatArray) -> None:
    with pytest.raises(ConflictError, match="do not fit an index of 3 dimensions"):
        index.add(keys(10), keys(1), vectors)
    with pytest.raises(ConflictError, match="do not fit an index of 3 dimensions"):
        index.search(vectors, k=1)


def test_vectors_without_a_key_or_a_file_are_refused(index: DenseIndex) -> None:
    with pytest.raises(ConflictError, match="1 keys and 3 vectors"):
        index.add(keys(10), keys(1, 1, 1), AXES)
    with pytest.raises(ConflictError, match="2 keys and 3 vectors"):
        index.add(keys(10, 20, 30), keys(1, 1), AXES)
    assert len(index) == 0


@pytest.mark.parametrize("where", WHERES, ids=name_of)
def test_a_filter_returns_the_chunks_of_matching_files(filled: DenseIndex, where: Filter) -> None:
    let_through = {file for file in FILES if matches(where, ATTRIBUTES.get(file, {}))}
    assert 0 < len(let_through) < len(FILES)

    (ranking,) = filled.search(unit_vectors(1, DIM, seed=2), len(filled), where)

    assert len(ranking) == len(set(ranking.keys.tolist())) == len(let_through) * CHUNKS_PER_FILE
    assert {file_of(key) for key in ranking.keys.tolist()} == let_through
    assert np.all(np.diff(ranking.scores) <= 0)


def test_a_filter_that_matches_nothing_or_everything(filled: DenseIndex) -> None:
    query = unit_vectors(1, DIM, seed=2)

    assert len(filled.search(query, 5, NOTHING)[0]) == 0
    assert len(filled.search(query, 10_000, EVERYTHING)[0]) == len(filled)


def test_a_selective_filter_gives_k_hits_at_any_distance(filled: DenseIndex) -> None:
    filled.set_attributes({6: {"only": True}})
    mine = np.arange(5 * CHUNKS_PER_FILE, 6 * CHUNKS_PER_FILE)
    filled.remove(mine[5:])

    rankings = filled.search(unit_vectors(20, DIM, seed=3), 10, Comparison("eq", "only", True))

    assert all(sorted(ranking.keys.tolist()) == mine[:5].tolist() for ranking in rankings)


def test_changed_attributes_are_seen_without_adding_again(filled: DenseIndex) -> None:
    query, where = unit_vectors(1, DIM, seed=2), Comparison("eq", "place", "south")
    before = filled.search(query, 1_000, where)[0]

    filled.set_attributes({3: {}, 8: {"place": "south"}, 77: {"place": "south"}})

    assert {file_of(key) for key in before.keys.tolist()} == {3}
    assert {file_of(key) for key in filled.search(query, 1_000, where)[0].keys.tolist()} == {8}


def test_attributes_may_come_before_the_chunks(index: DenseIndex) -> None:
    index.set_attributes({2: {"place": "north"}})
    assert len(index.search(AXES[:1], 3, Comparison("eq", "place", "north"))[0]) == 0

    add_axes(index)

    assert index.search(AXES[:1], 3, Comparison("eq", "place", "north"))[0].keys.tolist() == [20]


@pytest.mark.parametrize("where", [None, WHERES[0], WHERES[5]])
def test_a_batch_finds_what_its_queries_find_alone(filled: DenseIndex, where: Filter | None) -> None:
    queries = unit_vectors(30, DIM, seed=4)

    batch = filled.search(queries, 10, where)

    for query, ranking in zip(queries, batch, strict=True):
        (alone,) = filled.search(query[None], 10, where)
        assert alone.keys.tolist() == ranking.keys.tolist()
        assert alone.scores == pytest.approx(ranking.scores, abs=1e-5)


# Changes for hypothesis: ("add", seed of vectors, file), ("remove", any of the keys), ("set", file, place).
FILE_KEYS = st.integers(0, 5)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 12), FILE_KEYS),
        st.tuples(st.just("remove"), st.integers(0, 40), st.integers(1, 10)),
        st.tuples(st.just("set"), FILE_KEYS, st.sampled_from(["north", "south", ""])),
    ),
    max_size=25,
)


@dataclass
class Both:
    """An index and the oracle, with the same changes."""

    index: DenseIndex
    oracle: ExactIndex
    next_key: int = 0
    wheres: list[Filter | None] = field(default_factory=lambda: [None, WHERES[0], WHERES[5]])

    def change(self, kind: str, first: int, second: int | str) -> None:
        for index in (self.index, self.oracle):
            if kind == "add":
                new = np.arange(self.next_key, self.next_key + first)
                index.add(new, np.full(first, second), unit_vectors(first, 8, seed=self.next_key))
            elif kind == "remove":
                index.remove(np.arange(first, first + int(second)))
            else:
                index.set_attributes({first: attributes_of(str(second))})
        self.next_key += first if kind == "add" else 0

    def rankings(self, where: Filter | None, k: int) -> list[tuple[Ranking, Ranking]]:
        queries = unit_vectors(3, 8, seed=99_999)
        return list(zip(self.index.search(queries, k, where), self.oracle.search(queries, k, where), strict=True))


def attributes_of(place: str) -> Attributes:
    return {"place": place} if place else {}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, k=st.integers(1, 30))
def test_any_sequence_of_changes_ends_where_the_oracle_ends(
    backend: DenseBackend, changes: list[tuple[str, int, int | str]], k: int
) -> None:
    both = Both(backend.make(8), ExactIndex(8))

    for change in changes:
        both.change(*change)

    assert len(both.index) == len(both.oracle)
    for where in both.wheres:
        allowed = set(both.oracle.search(unit_vectors(1, 8, seed=1), 10_000, where)[0].keys.tolist())
        for ranking, expected in both.rankings(where, k):
            assert len(ranking) == len(expected)
            assert allowed.issuperset(ranking.keys.tolist())
            if backend.is_exact:
                assert ranking.keys.tolist() == expected.keys.tolist()
                assert ranking.scores == pytest.approx(expected.scores, abs=1e-5)
