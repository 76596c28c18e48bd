"""Vectors on a torch device, and exact search among them: one matrix product and a top-k."""

from typing import TYPE_CHECKING, Any

import numpy as np

from models.index.attributes import BoolArray
from models.types.arrays import FloatArray, KeyArray

if TYPE_CHECKING:
    import torch

BLOCK_ROWS = 1_000_000  # compared at a time; the scores of 32 queries then take 128 MB
FIRST_ROWS = 1_024


class DeviceRows:
    """Rows (n, dim) float32, numbered from 0. It runs on any torch device, so that it can be tested without a GPU."""

    def __init__(self, dim: int, device: str) -> None:
        import torch

        self._torch: Any = torch
        self._dim, self._device = dim, device
        self._num = 0
        self._rows: torch.Tensor = torch.empty((0, dim), device=device)  # the first `_num` rows are used

    def add(self, vectors: FloatArray) -> None:
        """Append `vectors` (n, dim). A full tensor doubles its capacity."""
        torch, num = self._torch, self._num + len(vectors)
        with torch.inference_mode():
            if num > len(self._rows):
                grown = torch.empty((max(num, 2 * len(self._rows), FIRST_ROWS), self._dim), device=self._device)
                grown[: self._num] = self._rows[: self._num]
                self._rows = grown
            self._rows[self._num : num] = torch.from_numpy(vectors).to(self._device)
        self._num = num

    def keep(self, positions: KeyArray) -> None:
        """Drop all rows but these, which are numbered anew in this order."""
        with self._torch.inference_mode():
            self._rows = self._rows[self._torch.from_numpy(positions).to(self._device)]
        self._num = len(positions)

    def clear(self) -> None:
        """Drop all rows."""
        self._num = 0

    def search(self, vectors: FloatArray, depth: int, mask: BoolArray | None = None) -> tuple[FloatArray, KeyArray]:
        """Scores and positions (n, depth) of the rows with the largest dot products, best first.

        Only rows in `mask` count. Positions are -1, and scores -inf, where there are too few rows.
        """
        torch = self._torch
        with torch.inference_mode():
            queries = torch.from_numpy(vectors).to(self._device)
            allowed = None if mask is None else torch.from_numpy(mask).to(self._device)
            best = [self._search_block(queries, depth, allowed, start) for start in range(0, self._num, BLOCK_ROWS)]
            scores, positions = (torch.cat(blocks, dim=1) for blocks in zip(*best, strict=True))
            scores, order = scores.topk(min(depth, scores.shape[1]), dim=1)
            positions = positions.gather(1, order).masked_fill(scores == -torch.inf, -1)
            return _padded(scores.cpu().numpy(), depth, -np.inf), _padded(positions.cpu().numpy(), depth, -1)

    def _search_block(
        self, queries: "torch.Tensor", depth: int, allowed: "torch.Tensor | None", start: int
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return scores and positions (n, at most depth), best first, of one block of rows.

        A row that is not allowed has the score -inf.
        """
        end = min(start + BLOCK_ROWS, self._num)
        scores = queries @ self._rows[start:end].T
        if allowed is not None:
            scores = scores.masked_fill(~allowed[start:end], -self._torch.inf)
        top_scores, positions = scores.topk(min(depth, end - start), dim=1)
        return top_scores, positions + start


def _padded(columns: Any, depth: int, value: float) -> Any:
    """Pad `columns` (n, at most depth) with `value` to (n, depth)."""
    return np.pad(columns, ((0, 0), (0, depth - columns.shape[1])), constant_values=value)
