"""MaxSim on a device scores as the codec does on the CPU, from the same bytes."""

from typing import Literal

import numpy as np
import pytest

from models.index.device_tokens import DeviceTokens
from models.index.token_codec import TokenCodecConfig, encode_tokens, max_sim_scores
from models.types.arrays import HalfArray

DIM = 24
LENGTHS = (1, 7, 30, 2)


def unit(num_rows: int, seed: int) -> HalfArray:
    rows = np.random.default_rng(seed).standard_normal((num_rows, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("pooling", [1, 2])
def test_scores_are_those_of_the_codec(bits: Literal[1, 2, 4], pooling: int) -> None:
    config = TokenCodecConfig(bits, pooling)
    blobs = [encode_tokens(unit(length, seed), config) for seed, length in enumerate(LENGTHS)]
    query, weights = unit(5, 99), np.array([1, 0, 2, 0.5, 1], np.float32)

    scores = DeviceTokens(blobs, DIM, "cpu").max_sim(query, weights, np.array([3, 0, 2]))

    np.testing.assert_allclose(scores, max_sim_scores(query, weights, [blobs[3], blobs[0], blobs[2]]), atol=1e-5)


def test_plain_float16_and_other_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="plain float16"):
        DeviceTokens([encode_tokens(unit(3, 0), TokenCodecConfig(16, 1))], DIM, "cpu")
    with pytest.raises(ValueError, match="dimensions"):
        DeviceTokens([encode_tokens(unit(3, 0))], DIM + 1, "cpu")
