"""Behaviour of FaissIndex alone: its kinds, compaction, snapshots, threads."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest
from pydantic import ValidationError

from models.errors.configuration import ConfigError
from models.errors.requests import ConflictError
from models.filters import Comparison
from models.index.exact import ExactIndex
from models.index.faiss_index import FaissConfig, FaissIndex
from models.types.arrays import FloatArray

DIM = 16
KINDS = [
    FaissConfig(),
    FaissConfig(kind="hnsw"),
    FaissConfig(kind="ivf_pq"),
    FaissConfig(kind="ivf_pq", train_at=300, ivf_nlist=4),
]
NORTH = Comparison("eq", "place", "north")
QUERIES_SEED, NUM = 7, 400


def unit_vectors(num: int, seed: int) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((num, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(params=KINDS, ids=["flat", "hnsw", "ivf_pq untrained", "ivf_pq trained"])
def config(request: pytest.FixtureRequest) -> FaissConfig:
    return request.param


@pytest.fixture
def index(config: FaissConfig) -> FaissIndex:
    """Keys 0 to 399, ten per file. Every second file is in the north."""
    index = FaissIndex(DIM, config)
    index.add(np.arange(NUM), np.arange(NUM) // 10, unit_vectors(NUM, seed=1))
    index.set_attributes({file: {"place": "north"} for file in range(0, NUM // 10, 2)})
    return index


def recall(index: FaissIndex, oracle: FaissIndex | ExactIndex, where: Comparison | None = None) -> float:
    queries = unit_vectors(20, QUERIES_SEED)
    pairs = zip(index.search(queries, 10, where), oracle.search(queries, 10, where), strict=True)
    return float(np.mean([np.isin(a.keys, b.keys).mean() for a, b in pairs]))


def test_a_configuration_knows_its_bounds() -> None:
    for wrong in ({"kind": "lsh"}, {"num_threads": 0}, {"hnsw_m": 0}, {"train_at": 10}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            FaissConfig.model_validate(wrong)


@pytest.mark.parametrize(("dim", "size"), [(384, 96), (64, 16), (30, 6), (7, 1), (3, 1), (1, 1)])
def test_a_code_is_a_divisor_of_the_dimensions_of_at_most_a_quarter(dim: int, size: int) -> None:
    assert FaissConfig().code_size(dim) == size


def test_a_code_that_does_not_divide_the_dimensions_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 dimensions"):
        FaissIndex(DIM, FaissConfig(kind="ivf_pq", pq_m=5))


def test_after_removing_most_rows_the_others_are_found(index: FaissIndex) -> None:
    oracle = ExactIndex(DIM)
    is_kept = np.arange(NUM) % 5 == 0
    oracle.add(np.arange(NUM)[is_kept], np.arange(NUM)[is_kept] // 10, unit_vectors(NUM, seed=1)[is_kept])
    oracle.set_attributes({file: {"place": "north"} for file in range(0, NUM // 10, 2)})

    for start in range(0, NUM, 40):
        some = np.arange(start, start + 40)
        index.remove(some[some % 5 != 0])

    assert len(index) == NUM // 5
    assert len(index._rows) < NUM  # dead rows are dropped, not only marked
    assert recall(index, oracle) >= 0.99
    assert recall(index, oracle, NORTH) == 1


def test_an_ivf_pq_is_trained_again_at_each_fourfold() -> None:
    index = FaissIndex(DIM, FaissConfig(kind="ivf_pq", train_at=300))
    cells = []
    for start in range(0, 1_600, 100):
        index.add(np.arange(start, start + 100), np.zeros(100, np.int64), unit_vectors(100, seed=start))
        cells.append(0 if index._engine.is_exact else faiss.downcast_index(index._engine.index.base_index).nlist)

    # 4 sqrt(300) = 69 and 4 sqrt(1200) = 138.
    assert cells == [0] * 2 + [69] * 9 + [138] * 5


def test_a_loaded_index_equals_the_saved_one(index: FaissIndex, config: FaissConfig, tmp_path: Path) -> None:
    index.remove(np.arange(0, 50))
    index.save(tmp_path)

    loaded = FaissIndex(DIM, config)
    loaded.load(tmp_path)

    assert len(loaded) == len(index) == NUM - 50
    assert recall(loaded, index) == recall(loaded, index, NORTH) == 1
    for either in (index, loaded):
        either.add(np.arange(0, 50), np.arange(0, 50) // 10, unit_vectors(50, seed=3))
        either.remove(np.arange(200, 350))
        either.set_attributes({1: {"place": "north"}})
    assert len(loaded) == NUM - 150
    assert recall(loaded, index) >= 0.99
    assert recall(loaded, index, NORTH) == 1


def test_an_empty_index_can_be_saved(config: FaissConfig, tmp_path: Path) -> None:
    FaissIndex(DIM, config).save(tmp_path)
    loaded = FaissIndex(DIM, config)

    loaded.load(tmp_path)

    assert len(loaded) == 0


def test_a_changed_search_does_not_cost_the_snapshot_but_a_changed_structure_does(tmp_path: Path) -> None:
    config = FaissConfig(kind="hnsw")
    FaissIndex(DIM, config).save(tmp_path)

    FaissIndex(DIM, config.model_copy(update={"hnsw_ef_search": 99, "num_threads": 2})).load(tmp_path)

    for other in (FaissIndex(DIM, config.model_copy(update={"hnsw_m": 8})), FaissIndex(8, config)):
        with pytest.raises(ConflictError, match="snapshot"):
            other.load(tmp_path)


@pytest.mark.parametrize("damage", ["no state", "torn state", "no rows", "flipped bit", "newer"])
def test_an_incomplete_snapshot_is_refused(index: FaissIndex, tmp_path: Path, damage: str) -> None:
    index.save(tmp_path)
    state, vectors = tmp_path / "index.json", tmp_path / "vectors.faiss"
    if damage == "no state":
        state.unlink()
    elif damage == "torn state":
        state.write_text(state.read_text()[:-9])
    elif damage == "no rows":
        (tmp_path / "rows.npz").unlink()
    elif damage == "flipped bit":
        written = bytearray(vectors.read_bytes())
        written[-1] ^= 1
        vectors.write_bytes(written)
    else:
        state.write_text(json.dumps(json.loads(state.read_text()) | {"format": 999}))

    with pytest.raises(ConflictError, match="snapshot"):
        FaissIndex(DIM, index._config).load(tmp_path)


def test_only_an_empty_index_loads_a_snapshot(index: FaissIndex, tmp_path: Path) -> None:
    index.save(tmp_path)

    with pytest.raises(ConflictError, match="empty"):
        index.load(tmp_path)


def test_searches_and_writes_from_many_threads_are_safe(config: FaissConfig) -> None:
    index = FaissIndex(DIM, config)

    def write_and_search(worker: int) -> bool:
        own = np.arange(worker * 100, worker * 100 + 100, dtype=np.int64)
        index.add(own, own // 10, unit_vectors(100, seed=worker))
        rankings = index.search(unit_vectors(2, seed=99), k=2_000)
        index.remove(own[50:])
        return all(np.isin(own, ranking.keys).all() for ranking in rankings)

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert all(pool.map(write_and_search, range(16)))

    assert len(index) == 16 * 50
