"""MaxSim over stored token vectors on a torch device: the scores of token_codec.max_sim_scores, from the same blobs.

The codes stay as small as they are stored: a shard of a million chunks fits one GPU. Only those of the candidates are
decoded, by a look-up table, for each query.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.index.gaussian_codes import decoder, rotation
from models.index.token_codec import Blob, read_codes
from models.types.arrays import FloatArray, HalfArray, KeyArray


class DeviceTokens:
    """The token vectors of chunks, numbered from 0, on a device. All blobs have the same bits and dimensions."""

    def __init__(self, blobs: Sequence[Blob], dim: int, device: str) -> None:
        """Raises ValueError as max_sim_scores, and for an empty blob or plain float16."""
        import torch

        self._torch: Any = torch
        self._device, self._dim = device, dim
        chunks = [read_codes(blob, dim) for blob in blobs]
        lengths = np.array([len(chunk.scales) for chunk in chunks], np.int64)
        self._codes = self._put(np.concatenate([chunk.codes for chunk in chunks]))
        self._scales = self._put(np.concatenate([chunk.scales for chunk in chunks]))
        self._lengths = self._put(lengths)
        self._starts = self._put(np.cumsum(lengths) - lengths)
        # Half precision on a GPU, where it is many times as fast; a CPU without bfloat16 computes it slowly.
        self._dtype = torch.float16 if device == "cuda" else torch.float32
        self._levels = self._put(decoder(chunks[0].bits)).to(self._dtype)

    def max_sim(self, query: HalfArray, weights: FloatArray, positions: KeyArray) -> FloatArray:
        """Scores (len(positions),), as max_sim_scores, of the chunks at these positions."""
        torch = self._torch
        with torch.inference_mode():
            chosen = self._put(positions)
            lengths = self._lengths[chosen]
            columns = torch.arange(int(lengths.max()), device=self._device)
            is_row = columns < lengths[:, None]
            rows = (self._starts[chosen][:, None] + columns).clamp_max(len(self._scales) - 1)
            levels = self._levels[self._codes[rows].int()].flatten(-2)  # (chunks, rows, dimensions)
            rotated = self._put(query.astype(np.float32) @ rotation(self._dim)).to(self._dtype)
            cosines = (levels @ rotated.T).float() * (self._scales[rows].float() / levels.shape[-1] ** 0.5)[..., None]
            best = cosines.masked_fill(~is_row[..., None], -torch.inf).amax(1)
            scores: FloatArray = (best @ self._put(weights) / float(weights.sum())).cpu().numpy()
            return scores

    def _put(self, array: Any) -> Any:
        return self._torch.from_numpy(array).to(self._device)
