"""An encoder's input: the token ids of a text or of a pair of texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TokenIds = NDArray[np.int32]
TextInput = str | Sequence[int]  # a text, or its token ids from the model's tokenizer without special tokens


@dataclass(frozen=True)
class Encoding:
    """Token ids (n,), special tokens included, truncated at the model's limit. `type_ids` (n,) mark a pair's texts.

    The first `num_prefix_tokens` after the special tokens are the model's prefix, not the text. `starts` (n,) has the
    first character of each token in the text, where the tokenizer was told to find them.
    `len` is the number of tokens: the cost of a forward pass, and the unit of batch sizes.
    """

    ids: TokenIds
    type_ids: TokenIds | None = None
    num_prefix_tokens: int = 0
    starts: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.ids)
