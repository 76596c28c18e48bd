"""The seams of search: vectors or words in, chunk keys out. An index holds one vector store's chunks.

Each chunk belongs to a file, and a search may be filtered by its file's attributes. They are kept beside the chunks, a
set a file, so that a changed attribute touches neither a vector nor a word.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from models.errors import ConflictError
from models.filters import Attributes, Filter
from models.types import FloatArray, KeyArray, LexicalRanking, Ranking


class DenseIndex(Protocol):
    """Nearest neighbours by inner product over unit vectors (cosine similarity)."""

    dim: int

    def add(self, keys: KeyArray, file_keys: KeyArray, vectors: FloatArray) -> None:
        """Adds vectors (n, dim) under `keys` (n,), which are new and unique, of the files `file_keys` (n,)."""

    def remove(self, keys: KeyArray) -> None:
        """Forgets `keys`; unknown ones are ignored."""

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Replaces the attributes of these files, by file key. A file that was never named here has none."""

    def search(self, vectors: FloatArray, k: int, where: Filter | None = None) -> list[Ranking]:
        """The best `k` of what `where` lets through, for each row of `vectors` (n, dim); fewer if there are fewer."""

    def __len__(self) -> int: ...


class LexicalIndex(Protocol):
    """BM25 over words."""

    def add(self, keys: KeyArray, file_keys: KeyArray, texts: list[str]) -> None:
        """Adds texts under `keys` (n,), which are new and unique. Visible to the next search."""

    def remove(self, keys: KeyArray) -> None:
        """Forgets `keys`; unknown ones are ignored."""

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        """Replaces the attributes of these files, by file key. A file that was never named here has none."""

    def search(self, query: str, k: int, where: Filter | None = None) -> LexicalRanking:
        """The best `k` of what `where` lets through for `query`, plain words: nothing in it is an operator."""

    def __len__(self) -> int: ...


class Snapshotting(Protocol):
    """An index that can be put in a folder and taken up again by another process."""

    def save(self, folder: Path) -> None:
        """Writes everything into `folder`, which exists and is empty; the index goes on as it is."""

    def load(self, folder: Path) -> None:
        """Becomes what was saved. The index must be empty. Raises ConflictError if the folder does not fit it."""


def check_vectors(dim: int, vectors: FloatArray, *key_arrays: KeyArray) -> None:
    """Raises ConflictError if `vectors` are not rows of `dim` numbers, or not one for each key."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ConflictError(f"vectors of shape {vectors.shape} do not fit an index of {dim} dimensions")
    for keys in key_arrays:
        if len(keys) != len(vectors):
            raise ConflictError(f"{len(keys)} keys came with {len(vectors)} vectors")
