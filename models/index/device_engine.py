"""Exact search on a GPU: one matrix product and a top-k, with removals and filters as a mask.

It uses torch, because FAISS' GPU indexes take no id selector: filters and removed chunks would force the search back to
the CPU. It runs on any torch device, so that it can be tested without a GPU.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import ConfigError
from models.index.faiss_engine import Allowed, FlatEngine, Neighbours
from models.types import FloatArray, KeyArray

if TYPE_CHECKING:
    import torch

BLOCK_ROWS = 1_000_000  # compared at a time; the scores of 32 queries then take 128 MB
FIRST_ROWS = 1_024


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
        self._torch: Any = torch
        self._device = device
        self._num = 0
        self._rows: torch.Tensor = torch.empty((0, dim), device=device)  # the first `_num` rows are used

    def add(self, vectors: FloatArray) -> None:
        super().add(vectors)
        self._copy(vectors)

    def keep(self, positions: KeyArray) -> None:
        super().keep(positions)
        with self._torch.inference_mode():
            self._rows = self._rows[self._torch.from_numpy(positions).to(self._device)]
        self._num = len(positions)

    def adopt(self, index: Any) -> None:
        super().adopt(index)
        self._num = 0
        for start in range(0, index.ntotal, BLOCK_ROWS):
            self._copy(index.reconstruct_n(start, min(BLOCK_ROWS, index.ntotal - start)))

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Neighbours:
        torch = self._torch
        with torch.inference_mode():
            queries = torch.from_numpy(vectors).to(self._device)
            mask = None if allowed is None else torch.from_numpy(allowed.mask).to(self._device)
            best = [self._search_block(queries, depth, mask, start) for start in range(0, self._num, BLOCK_ROWS)]
            scores, positions = (torch.cat(blocks, dim=1) for blocks in zip(*best, strict=True))
            scores, order = scores.topk(min(depth, scores.shape[1]), dim=1)
            positions = positions.gather(1, order).masked_fill(scores == -torch.inf, -1)
            return Neighbours(
                _padded(scores.cpu().numpy(), depth, -np.inf), _padded(positions.cpu().numpy(), depth, -1)
            )

    def _search_block(
        self, queries: "torch.Tensor", depth: int, mask: "torch.Tensor | None", start: int
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return scores and positions (n, at most depth), best first, of one block of rows.

        A row that is not allowed has the score -inf.
        """
        end = min(start + BLOCK_ROWS, self._num)
        scores = queries @ self._rows[start:end].T
        if mask is not None:
            scores = scores.masked_fill(~mask[start:end], -self._torch.inf)
        top_scores, positions = scores.topk(min(depth, end - start), dim=1)
        return top_scores, positions + start

    def _copy(self, vectors: FloatArray) -> None:
        """Append `vectors`. A full tensor doubles its capacity."""
        torch, num = self._torch, self._num + len(vectors)
        with torch.inference_mode():
            if num > len(self._rows):
                grown = torch.empty((max(num, 2 * len(self._rows), FIRST_ROWS), self._dim), device=self._device)
                grown[: self._num] = self._rows[: self._num]
                self._rows = grown
            self._rows[self._num : num] = torch.from_numpy(vectors).to(self._device)
        self._num = num


def _padded(columns: Any, depth: int, value: float) -> Any:
    """Pad `columns` (n, at most depth) with `value` to (n, depth)."""
    return np.pad(columns, ((0, 0), (0, depth - columns.shape[1])), constant_values=value)
