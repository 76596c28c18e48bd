"""What goes through an encoder: the token ids of one text, or of a pair, made before the forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int32]
TextInput = str | Sequence[int]  # a text, or its tokens without the special ones, as the model's tokenizer counts them


@dataclass(frozen=True)
class Encoding:
    """Token ids (n,) with their special tokens, cut at the model's limit; `type_ids` (n,) tell a pair's texts apart.

    `len` is the number of tokens: what a forward pass costs, and what batches are measured in.
    """

    ids: TokenIds
    type_ids: TokenIds | None = None

    def __len__(self) -> int:
        return len(self.ids)
