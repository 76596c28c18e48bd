"""Every LexicalIndex that the contract tests run on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from models.index.base import LexicalIndex
from models.index.tantivy_index import MAX_IN_MEMORY, TantivyIndex
from models.index.tantivy_shard import TantivyShard
from serve.cli.driver.milvus_server import lite_uri, make_lexical


@dataclass(frozen=True)
class LexicalBackend:
    """`make` creates an empty index. `has_weights`: it returns inverse document frequencies.

    `filter_keeps_scores`: its statistics are of the whole store, even with a filter.
    """

    name: str
    make: Callable[[], LexicalIndex]
    has_weights: bool = True
    filter_keeps_scores: bool = True


def in_a_folder(make: Callable[[], TantivyIndex]) -> TantivyIndex:
    """Make an index that was once too large for memory."""
    index, keys = make(), np.arange(10**6, 10**6 + MAX_IN_MEMORY + 1)
    index.add(keys, keys, ["gone"] * len(keys))
    index.remove(keys)
    return index


LEXICAL_BACKENDS: list[Any] = [
    LexicalBackend("tantivy", TantivyIndex),
    LexicalBackend("tantivy-folder", lambda: in_a_folder(TantivyIndex)),
    LexicalBackend("shard", TantivyShard),
    LexicalBackend("shard-folder", lambda: in_a_folder(TantivyShard)),
    pytest.param(
        LexicalBackend("milvus-lite", lambda: make_lexical(lite_uri()), has_weights=False, filter_keeps_scores=False),
        marks=pytest.mark.slow,
    ),
]
