"""Numpy arrays by the type of their numbers. One pickles in less than half the time of a list of floats."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
HalfArray = NDArray[np.float16]
KeyArray = NDArray[np.int64]
