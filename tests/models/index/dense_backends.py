"""Every DenseIndex that the contract tests run on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from models.index.base import DenseIndex
from models.index.exact import ExactIndex
from models.index.faiss_index import FaissConfig, FaissIndex
from serve.cli.driver.milvus_server import lite_uri, make_dense, server


@dataclass(frozen=True)
class DenseBackend:
    """`make` creates an empty index of a dimension. An `is_exact` backend returns what the oracle returns."""

    name: str
    make: Callable[[int], DenseIndex]
    is_exact: bool


# With `exact_below` 0, an approximate kind must filter by itself.
HNSW = FaissConfig(kind="hnsw", exact_below=0)
IVF_PQ = FaissConfig(kind="ivf_pq", exact_below=0, train_at=300, ivf_nlist=8, ivf_nprobe=4)

DENSE_BACKENDS: list[Any] = [
    DenseBackend("exact", ExactIndex, True),
    DenseBackend("faiss-flat", lambda dim: FaissIndex(dim, FaissConfig()), True),
    DenseBackend("faiss-hnsw", lambda dim: FaissIndex(dim, HNSW), False),
    DenseBackend("faiss-ivf-pq", lambda dim: FaissIndex(dim, IVF_PQ), False),
    pytest.param(DenseBackend("milvus-lite", lambda dim: make_dense(lite_uri(), dim), True), marks=pytest.mark.slow),
    pytest.param(
        DenseBackend("milvus-server", lambda dim: make_dense(server().uri, dim), True), marks=pytest.mark.slow
    ),
]
