"""Numpy arrays by the type of their numbers. They pickle in less than half the time of lists of floats."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
HalfArray = NDArray[np.float16]
KeyArray = NDArray[np.int64]


def unit_rows(vectors: FloatArray) -> FloatArray:
    """`vectors` (n, dim) with each row divided by its length; a row of zeros stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32, copy=False)
