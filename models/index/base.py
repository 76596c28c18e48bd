"""The protocols of search: vectors or words in, chunk keys out. An index has the chunks of one vector store.

Each chunk belongs to a file, and a search may filter by the file's attributes. Attributes are stored once per file, so
that changing them does not touch vectors or words.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from models.errors.requests import ConflictError
from models.filters import Attributes, Filter
from models.index.bm25 import WordCounts
from models.types.arrays import FloatArray, KeyArray
from models.types.ranking import LexicalRanking, Ranking


class DenseIndex(Protocol):
    """Nearest neighbours by inner product over unit vectors (cosine similarity)."""

    dim: int

    def add(self, keys: KeyArray, file_keys: KeyArray, vectors: FloatArray) -> None:
        """Add vectors (n, dim) under `keys` (n,), which must be new and unique, of the files `file_keys` (n,)."""

    def remove(self, keys: KeyArray) -> None:
        """Remove `keys`. Unknown keys are ignored."""

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Replace the attributes of these files, by file key. Other files keep theirs; a new file has none."""

    def search(self, vectors: FloatArray, k: int, where: Filter | None = None) -> list[Ranking]:
        """Return the best `k` chunks that match `where`, for each row of `vectors` (n, dim)."""

    def __len__(self) -> int: ...


class LexicalIndex(Protocol):
    """BM25 over words."""

    def add(self, keys: KeyArray, file_keys: KeyArray, texts: list[str]) -> None:
        """Add texts under `keys` (n,), which must be new and unique. The next search finds them."""

    def remove(self, keys: KeyArray) -> None:
        """Remove `keys`. Unknown keys are ignored."""

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Replace the attributes of these files, by file key. Other files keep theirs; a new file has none."""

    def search(self, query: str, k: int, where: Filter | None = None) -> LexicalRanking:
        """Return the best `k` chunks that match `where`. `query` is plain words: it has no operators."""

    def __len__(self) -> int: ...


class FollowedIndex(Protocol):
    """What a follower of the log needs of any index. Additions differ, so each kind of search knows its own."""

    def remove(self, keys: KeyArray) -> None:
        """Remove `keys`. Unknown keys are ignored."""

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Replace the attributes of these files, by file key. Other files keep theirs; a new file has none."""

    def __len__(self) -> int: ...


class ShardIndex(LexicalIndex, Protocol):
    """BM25 over the words of one shard, with scores that are comparable to those of the other shards."""

    def count(self, query: str) -> WordCounts:
        """Return this shard's counts for the words of `query`."""

    def search_with(self, counts: WordCounts, query: str, k: int, where: Filter | None = None) -> LexicalRanking:
        """As `search`, scored with the counts of all shards together."""


class Snapshotting(Protocol):
    """An index that can be saved to a folder and loaded by another process."""

    def save(self, folder: Path) -> None:
        """Save the index to `folder`, which exists and is empty. The index stays usable."""

    def load(self, folder: Path) -> None:
        """Load a saved index. This index must be empty. Raises ConflictError if the folder does not fit it."""


def check_vectors(dim: int, vectors: FloatArray, *key_arrays: KeyArray) -> None:
    """Raise ConflictError if `vectors` does not have `dim` columns, or one row per key."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ConflictError(f"vectors of shape {vectors.shape} do not fit an index of {dim} dimensions")
    for keys in key_arrays:
        if len(keys) != len(vectors):
            raise ConflictError(f"got {len(keys)} keys and {len(vectors)} vectors; the numbers must be equal")
