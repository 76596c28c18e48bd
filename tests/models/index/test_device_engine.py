"""The GPU engine, on torch's CPU device: it returns what FAISS' exact index does, with masks, removals, snapshots."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.errors.configuration import ConfigError
from models.filters import Comparison
from models.index import device_rows
from models.index.device_engine import DeviceFlatEngine
from models.index.exact import ExactIndex
from models.index.faiss_config import FaissConfig
from models.index.faiss_engine import Allowed, FlatEngine
from models.index.faiss_index import FaissIndex
from models.types.arrays import FloatArray

DIM = 16


def unit(count: int, seed: int = 0) -> FloatArray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def engines(count: int) -> tuple[DeviceFlatEngine, FlatEngine]:
    pair = DeviceFlatEngine(DIM, "cpu"), FlatEngine(DIM)
    for engine in pair:
        engine.add(unit(count // 2))
        engine.add(unit(count - count // 2, seed=1))
    return pair


@pytest.fixture(params=[10_000, 700])
def block_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search in one block, and in several."""
    monkeypatch.setattr(device_rows, "BLOCK_ROWS", request.param)


@pytest.mark.usefixtures("block_rows")
def test_it_finds_what_faiss_finds() -> None:
    device, faiss = engines(3_000)
    queries = unit(20, seed=2)

    for allowed in (None, Allowed(np.arange(3_000) % 3 == 0, 1_000)):
        neighbours, expected = (engine.search(queries, 10, allowed) for engine in (device, faiss))
        np.testing.assert_array_equal(neighbours.positions, expected.positions)
        np.testing.assert_allclose(neighbours.scores, expected.scores, atol=1e-6)


@pytest.mark.usefixtures("block_rows")
def test_positions_are_minus_one_where_too_few_are_allowed() -> None:
    device, _ = engines(1_500)
    mask = np.zeros(1_500, np.bool_)
    mask[[3, 1_400]] = True

    neighbours = device.search(unit(2, seed=3), 5, Allowed(mask, 2))

    assert sorted(neighbours.positions[0]) == [-1, -1, -1, 3, 1_400]
    assert (neighbours.positions[:, 2:] == -1).all()


def test_compaction_renumbers_the_rows() -> None:
    device, faiss = engines(1_000)
    for engine in (device, faiss):
        engine.keep(np.arange(0, 1_000, 7))
        engine.add(unit(5, seed=4))

    neighbours, expected = (engine.search(unit(8, seed=5), 10, None) for engine in (device, faiss))

    np.testing.assert_array_equal(neighbours.positions, expected.positions)


def test_a_saved_index_can_be_loaded() -> None:
    device, faiss = engines(1_000)
    again = DeviceFlatEngine(DIM, "cpu")

    again.adopt(device.index)

    neighbours, expected = (engine.search(unit(8, seed=5), 10, None) for engine in (again, faiss))
    np.testing.assert_array_equal(neighbours.positions, expected.positions)


def on_device(monkeypatch: pytest.MonkeyPatch) -> FaissIndex:
    """A FaissIndex with the device engine, on the CPU."""
    index = FaissIndex(DIM, FaissConfig())
    monkeypatch.setattr(index, "_engine", DeviceFlatEngine(DIM, "cpu"))
    return index


def test_an_index_on_a_device_filters_removes_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, exact = on_device(monkeypatch), ExactIndex(DIM)
    keys = np.arange(1, 501)
    for either in (index, exact):
        either.add(keys, keys % 50, unit(500))
        either.set_attributes({file: {"half": file % 2} for file in range(50)})
        either.remove(keys[::9])
    index.save(tmp_path)
    loaded = on_device(monkeypatch)
    loaded.load(tmp_path)
    loaded.set_attributes({file: {"half": file % 2} for file in range(50)})

    for where in (None, Comparison("eq", "half", 1)):
        expected = exact.search(unit(6, seed=7), 10, where)
        for either in (index, loaded):
            rankings = either.search(unit(6, seed=7), 10, where)
            assert [ranking.keys.tolist() for ranking in rankings] == [ranking.keys.tolist() for ranking in expected]


def test_a_missing_gpu_is_refused_by_name() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")

    with pytest.raises(ConfigError, match=r"index\.gpu: torch finds no CUDA device"):
        FaissIndex(DIM, FaissConfig(gpu=True))


def test_only_a_flat_index_runs_on_a_gpu() -> None:
    with pytest.raises(ValidationError, match="gpu needs kind flat"):
        FaissConfig(kind="hnsw", gpu=True)


@pytest.mark.gpu
def test_a_gpu_finds_what_faiss_finds() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    index, exact = FaissIndex(DIM, FaissConfig(gpu=True)), ExactIndex(DIM)
    keys = np.arange(1, 2_001)
    for either in (index, exact):
        either.add(keys, keys, unit(2_000))

    rankings, expected = (either.search(unit(20, seed=8), 10) for either in (index, exact))

    assert [set(ranking.keys) for ranking in rankings] == [set(ranking.keys) for ranking in expected]
