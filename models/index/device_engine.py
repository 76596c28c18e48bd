"""Exact search on a GPU, with removals and filters as a mask.

It uses torch, because FAISS' GPU indexes take no id selector: filters and removed chunks would force the search back to
the CPU.
"""

from typing import Any

from models.errors.configuration import ConfigError
from models.index import device_rows
from models.index.device_rows import DeviceRows
from models.index.faiss_engine import Allowed, FlatEngine, Neighbours
from models.types.arrays import FloatArray, KeyArray


class DeviceFlatEngine(FlatEngine):
    """A FlatEngine with a copy of its vectors on a device: 4 dim bytes each there, and in memory for snapshots."""

    def __init__(self, dim: int, device: str) -> None:
        """Raises ConfigError if the device does not exist."""
        import torch

        super().__init__(dim)
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "index.gpu", "torch finds no CUDA device; request one with ray_actor_options: {num_gpus: 0.1}"
            )
        self._rows = DeviceRows(dim, device)

    def add(self, vectors: FloatArray) -> None:
        super().add(vectors)
        self._rows.add(vectors)

    def keep(self, positions: KeyArray) -> None:
        super().keep(positions)
        self._rows.keep(positions)

    def adopt(self, index: Any) -> None:
        super().adopt(index)
        self._rows.clear()
        for start in range(0, index.ntotal, device_rows.BLOCK_ROWS):
            self._rows.add(index.reconstruct_n(start, min(device_rows.BLOCK_ROWS, index.ntotal - start)))

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Neighbours:
        return Neighbours(*self._rows.search(vectors, depth, None if allowed is None else allowed.mask))
