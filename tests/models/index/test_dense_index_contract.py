"""What every DenseIndex does, run over each backend; FAISS is also checked against the exact one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models.errors import ConflictError
from models.index.base import DenseIndex
from models.index.exact import ExactIndex
from models.index.faiss_index import FaissIndex
from models.types import FloatArray

AXES = np.eye(3, dtype=np.float32)


@pytest.fixture(params=[ExactIndex, FaissIndex])
def backend(request: pytest.FixtureRequest) -> type[ExactIndex] | type[FaissIndex]:
    return request.param


@pytest.fixture
def index(backend: type[ExactIndex] | type[FaissIndex]) -> DenseIndex:
    return backend(dim=3)


def keys(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def unit_vectors(num: int, dim: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((num, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_search_returns_the_nearest_first_with_its_inner_product(index: DenseIndex) -> None:
    index.add(keys(10, 20, 30), AXES)

    (ranking,) = index.search(np.array([[0.6, 0.8, 0.0]], np.float32), k=2)

    assert ranking.keys.tolist() == [20, 10]
    assert ranking.scores.tolist() == pytest.approx([0.8, 0.6])


def test_each_row_of_a_batch_gets_its_own_ranking(index: DenseIndex) -> None:
    index.add(keys(10, 20, 30), AXES)

    rankings = index.search(AXES, k=1)

    assert [ranking.keys.tolist() for ranking in rankings] == [[10], [20], [30]]


def test_scores_are_float32_and_keys_int64(index: DenseIndex) -> None:
    index.add(keys(2**62), AXES[:1])

    (ranking,) = index.search(AXES[:1], k=1)

    assert (ranking.keys.dtype, ranking.scores.dtype) == (np.int64, np.float32)
    assert ranking.keys.tolist() == [2**62]


def test_fewer_hits_than_k_where_the_index_is_small(index: DenseIndex) -> None:
    index.add(keys(10, 20), AXES[:2])

    (ranking,) = index.search(AXES[:1], k=50)

    assert len(ranking) == 2


def test_an_empty_index_finds_nothing(index: DenseIndex) -> None:
    (ranking,) = index.search(AXES[:1], k=5)

    assert len(ranking) == 0
    assert len(index) == 0


def test_no_queries_give_no_rankings(index: DenseIndex) -> None:
    index.add(keys(10), AXES[:1])

    assert index.search(np.empty((0, 3), np.float32), k=5) == []


def test_a_removed_key_is_not_found_and_unknown_keys_are_ignored(index: DenseIndex) -> None:
    index.add(keys(10, 20, 30), AXES)

    index.remove(keys(20, 999))

    (ranking,) = index.search(AXES[1:2], k=3)
    assert sorted(ranking.keys.tolist()) == [10, 30]
    assert len(index) == 2


def test_removing_nothing_or_everything_is_fine(index: DenseIndex) -> None:
    index.add(keys(10, 20), AXES[:2])

    index.remove(keys())
    index.remove(keys(10, 20))

    assert len(index) == 0
    assert len(index.search(AXES[:1], k=1)[0]) == 0


def test_a_removed_key_can_be_added_again_with_another_vector(index: DenseIndex) -> None:
    index.add(keys(10, 20), AXES[:2])
    index.remove(keys(10))

    index.add(keys(10), AXES[2:])

    assert index.search(AXES[2:], k=1)[0].keys.tolist() == [10]


@pytest.mark.parametrize("vectors", [np.ones((1, 4), np.float32), np.ones(3, np.float32)])
def test_vectors_of_another_space_are_refused(index: DenseIndex, vectors: FloatArray) -> None:
    with pytest.raises(ConflictError, match="do not fit an index of 3 dimensions"):
        index.add(keys(10), vectors)
    with pytest.raises(ConflictError, match="do not fit an index of 3 dimensions"):
        index.search(vectors, k=1)


def test_vectors_without_a_key_are_refused(index: DenseIndex) -> None:
    with pytest.raises(ConflictError, match="1 keys came with 3 vectors"):
        index.add(keys(10), AXES)


def test_faiss_finds_what_the_exact_index_finds_after_adds_and_removals() -> None:
    exact, faiss = ExactIndex(dim=32), FaissIndex(dim=32, num_threads=2)
    all_keys, vectors = np.arange(2_000, dtype=np.int64) * 7, unit_vectors(2_000, 32, seed=1)
    for index in (exact, faiss):
        index.add(all_keys[:1_500], vectors[:1_500])
        index.remove(all_keys[::5])
        index.add(all_keys[1_500:][1:5], vectors[1_500:][1:5])

    queries = unit_vectors(40, 32, seed=2)
    pairs = list(zip(exact.search(queries, k=20), faiss.search(queries, k=20), strict=True))

    assert all(np.array_equal(a.keys, b.keys) for a, b in pairs)
    assert all(np.allclose(a.scores, b.scores, atol=1e-5) for a, b in pairs)


def test_searches_and_writes_from_many_threads_take_turns(index: DenseIndex) -> None:
    def write_and_search(worker: int) -> bool:
        own = np.arange(worker * 100, worker * 100 + 100, dtype=np.int64)
        index.add(own, unit_vectors(100, 3, seed=worker))
        found = index.search(AXES, k=2_000)
        index.remove(own[50:])
        return all(np.isin(own, ranking.keys).all() for ranking in found)

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert all(pool.map(write_and_search, range(16)))

    assert len(index) == 16 * 50
