"""What the logit of a cross-encoder says about relevance."""

import numpy as np

from models.types.arrays import FloatArray


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + exp(-logits)) float32, computed by the hyperbolic tangent, which does not overflow."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
