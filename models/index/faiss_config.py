"""The kind of FAISS index, and how much of it a search reads."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FaissConfig(BaseModel):
    """FAISS as the index of each vector store.

    Bytes per vector: flat 4 dim; hnsw 4 dim + 8 hnsw_m; ivf_pq 2 dim + pq_m + 8, and 4 dim until it is trained.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["flat", "hnsw", "ivf_pq"] = Field(
        default="flat", description="flat compares with every vector; hnsw and ivf_pq are approximate."
    )
    gpu: bool = Field(
        default=False,
        description="Compare vectors on the replica's GPU, which needs 4 dim bytes each. Only for kind flat.",
    )
    num_threads: int = Field(default=1, ge=1, le=256, description="OpenMP threads of one search or write.")
    exact_below: int = Field(
        default=50_000,
        ge=0,
        description="If a filter matches fewer chunks, compare all of them exactly: 5 ms with 384 dimensions.",
    )
    hnsw_m: int = Field(
        default=16, ge=4, le=128, description="HNSW: links per node; twice as many at the bottom level."
    )
    hnsw_ef_construction: int = Field(default=100, ge=8, le=2_000, description="HNSW: candidates per insertion.")
    hnsw_ef_search: int = Field(default=64, ge=8, le=10_000, description="HNSW: candidates per search; at least k.")
    ivf_nlist: int | None = Field(
        default=None, ge=1, le=1_000_000, description="IVF-PQ: number of cells. By default 4 sqrt(n) for n vectors."
    )
    ivf_nprobe: int = Field(default=32, ge=1, le=10_000, description="IVF-PQ: cells read per search.")
    pq_m: int | None = Field(
        default=None,
        ge=1,
        le=4_096,
        description="IVF-PQ: bytes per code, a divisor of dim. By default a quarter of dim.",
    )
    refine_factor: int = Field(
        default=10, ge=1, le=100, description="IVF-PQ: candidates per hit, compared by their float16 vectors."
    )
    train_at: int = Field(
        default=50_000, ge=256, description="IVF-PQ: number of vectors at which it is trained. With fewer, it is flat."
    )

    @model_validator(mode="after")
    def _gpu_is_flat(self) -> "FaissConfig":
        if self.gpu and self.kind != "flat":
            raise ValueError(f"gpu needs kind flat, and kind is {self.kind}; set kind to flat or gpu to false")
        return self

    def num_cells(self, num_vectors: int) -> int:
        return min(self.ivf_nlist or int(4 * math.sqrt(num_vectors)), num_vectors)

    def code_size(self, dim: int) -> int:
        """Return the bytes of a PQ code: `pq_m`, or the largest divisor of `dim` up to a quarter of it."""
        return self.pq_m or max(size for size in range(1, max(1, dim // 4) + 1) if dim % size == 0)

    @property
    def structure(self) -> dict[str, Any]:
        """The settings that a saved index must share. Settings of search are not among them."""
        search_settings = {"gpu", "num_threads", "exact_below", "hnsw_ef_search", "ivf_nprobe", "refine_factor"}
        return self.model_dump(exclude=search_settings)
