"""Exact search on a GPU: one matrix product and a top-k, with removals and filters as a mask.

With torch rather than FAISS' own GPU indexes, which take no id selector: every filter, every removed chunk, would send
the search back to the CPU. Runs on any device of torch's, so that what a GPU computes can be tested without one.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import ConfigError
from models.index.faiss_engine import Allowed, FlatEngine, Found
from models.types import FloatArray, KeyArray

if TYPE_CHECKING:
    import torch

BLOCK_ROWS = 1_000_000  # compared at a time: 32 queries' scores of them are 128 MB
FIRST_ROWS = 1_024


class DeviceFlatEngine(FlatEngine):
    """A FlatEngine whose vectors are on a device as well: 4 dim bytes there, and as many in memory for snapshots."""

    def __init__(self, dim: int, device: str) -> None:
        """Raises ConfigError if there is no such device."""
        import torch

        super().__init__(dim)
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError(
                "index.gpu", "torch finds no CUDA device; ask for one: ray_actor_options: {num_gpus: 0.1}"
            )
        self._torch: Any = torch
        self._device = device
        self._num = 0
        self._rows: torch.Tensor = torch.empty((0, dim), device=device)  # of which the first `_num` are vectors

    def add(self, vectors: FloatArray) -> None:
        super().add(vectors)
        self._copy(vectors)

    def keep(self, positions: KeyArray) -> None:
        super().keep(positions)
        with self._torch.inference_mode():
            self._rows = self._rows[self._torch.from_numpy(positions).to(self._device)]
        self._num = len(positions)

    def take_up(self, index: Any) -> None:
        super().take_up(index)
        self._num = 0
        for start in range(0, index.ntotal, BLOCK_ROWS):
            self._copy(index.reconstruct_n(start, min(BLOCK_ROWS, index.ntotal - start)))

    def search(self, vectors: FloatArray, depth: int, allowed: Allowed | None) -> Found:
        torch = self._torch
        with torch.inference_mode():
            queries = torch.from_numpy(vectors).to(self._device)
            mask = None if allowed is None else torch.from_numpy(allowed.mask).to(self._device)
            best = [self._search_block(queries, depth, mask, start) for start in range(0, self._num, BLOCK_ROWS)]
            scores, positions = (torch.cat(parts, dim=1) for parts in zip(*best, strict=True))
            scores, order = scores.topk(min(depth, scores.shape[1]), dim=1)
            positions = positions.gather(1, order).masked_fill(scores == -torch.inf, -1)
            return Found(_padded(scores.cpu().numpy(), depth, -np.inf), _padded(positions.cpu().numpy(), depth, -1))

    def _search_block(
        self, queries: "torch.Tensor", depth: int, mask: "torch.Tensor | None", start: int
    ) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Scores and positions (n, at most depth), best first, of the rows from `start`; -inf for those not allowed."""
        end = min(start + BLOCK_ROWS, self._num)
        scores = queries @ self._rows[start:end].T
        if mask is not None:
            scores = scores.masked_fill(~mask[start:end], -self._torch.inf)
        found, positions = scores.topk(min(depth, end - start), dim=1)
        return found, positions + start

    def _copy(self, vectors: FloatArray) -> None:
        """Appends `vectors`; the space doubles when it is full."""
        torch, num = self._torch, self._num + len(vectors)
        with torch.inference_mode():
            if num > len(self._rows):
                grown = torch.empty((max(num, 2 * len(self._rows), FIRST_ROWS), self._dim), device=self._device)
                grown[: self._num] = self._rows[: self._num]
                self._rows = grown
            self._rows[self._num : num] = torch.from_numpy(vectors).to(self._device)
        self._num = num


def _padded(found: Any, depth: int, value: float) -> Any:
    """`found` (n, at most depth) with `value` in the columns that it lacks."""
    return np.pad(found, ((0, 0), (0, depth - found.shape[1])), constant_values=value)
