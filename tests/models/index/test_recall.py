"""Recall@10 of approximate indexes against the exact one, also with filters and after removals."""

from collections.abc import Callable

import numpy as np
import pytest

from models.filters import Comparison, Filter
from models.index.base import DenseIndex
from models.index.exact import ExactIndex
from models.index.faiss_index import FaissConfig, FaissIndex
from models.types.arrays import FloatArray

pytestmark = pytest.mark.slow

NUM, DIM, NUM_TOPICS, NUM_QUERIES = 20_000, 64, 200, 200
CHUNKS_PER_FILE = 10

# By default, 20,000 vectors are few enough for an exact comparison under any filter. Here, 50 % of them are too many.
KINDS = {
    "hnsw": (FaissConfig(kind="hnsw", num_threads=2, exact_below=5_000), 0.95),
    "ivf_pq": (FaissConfig(kind="ivf_pq", num_threads=2, exact_below=5_000, train_at=10_000), 0.9),
}
WHERES = {"all": None, "5 %": Comparison("lt", "n", 5), "50 %": Comparison("lt", "n", 50)}


def clustered(num: int, seed: int) -> FloatArray:
    """Make unit vectors around NUM_TOPICS centres, similar to embeddings of passages."""
    centres = np.random.default_rng(0).standard_normal((NUM_TOPICS, DIM))
    random = np.random.default_rng(seed)
    vectors = centres[random.integers(NUM_TOPICS, size=num)] + 0.5 * random.standard_normal((num, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(index: DenseIndex) -> DenseIndex:
    vectors, keys = clustered(NUM, seed=1), np.arange(NUM)
    for start in range(0, NUM, 2_000):
        page = keys[start : start + 2_000]
        index.add(page, page // CHUNKS_PER_FILE, vectors[page])
    index.set_attributes({file: {"n": file % 100} for file in range(NUM // CHUNKS_PER_FILE)})
    return index


@pytest.fixture(scope="module")
def oracle() -> DenseIndex:
    return fill(ExactIndex(DIM))


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def index(kind: str) -> DenseIndex:
    return fill(FaissIndex(DIM, KINDS[kind][0]))


def recall_at_10(index: DenseIndex, oracle: DenseIndex, where: Filter | None) -> float:
    queries = clustered(NUM_QUERIES, seed=2)
    pairs = zip(index.search(queries, 10, where), oracle.search(queries, 10, where), strict=True)
    return float(np.mean([np.isin(expected.keys, ranking.keys).mean() for ranking, expected in pairs]))


@pytest.fixture
def report(
    record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> Callable[[str, float], None]:
    def write(name: str, recall: float) -> None:
        record_property(f"recall@10 {name}", recall)
        with capsys.disabled():
            print(f"\nrecall@10 {name}: {recall:.3f}", end="")  # noqa: T201

    return write


@pytest.mark.parametrize("where", WHERES)
def test_recall(
    index: DenseIndex, oracle: DenseIndex, kind: str, where: str, report: Callable[[str, float], None]
) -> None:
    recall = recall_at_10(index, oracle, WHERES[where])

    report(f"{kind}, {where}", recall)
    assert recall >= KINDS[kind][1]


@pytest.fixture(scope="module")
def thinned(kind: str) -> tuple[DenseIndex, DenseIndex]:
    """An approximate index and the oracle, after a fifth of the vectors was removed."""
    gone = np.random.default_rng(3).permutation(NUM)[: NUM // 5]
    index, oracle = fill(FaissIndex(DIM, KINDS[kind][0])), fill(ExactIndex(DIM))
    for either in (index, oracle):
        either.remove(gone)
    return index, oracle


@pytest.mark.parametrize("where", WHERES)
def test_recall_after_a_fifth_was_removed(
    thinned: tuple[DenseIndex, DenseIndex], kind: str, where: str, report: Callable[[str, float], None]
) -> None:
    recall = recall_at_10(*thinned, WHERES[where])

    report(f"{kind}, {where}, a fifth removed", recall)
    assert recall >= KINDS[kind][1]
