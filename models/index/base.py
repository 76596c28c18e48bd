"""The seams of search: vectors or words in, chunk keys out. An index holds one vector store's chunks."""

from typing import Protocol

from models.errors import ConflictError
from models.types import FloatArray, KeyArray, LexicalRanking, Ranking


class DenseIndex(Protocol):
    """Nearest neighbours by inner product over unit vectors (cosine similarity)."""

    dim: int

    def add(self, keys: KeyArray, vectors: FloatArray) -> None:
        """Adds vectors (n, dim) under `keys` (n,), which are new and unique."""

    def remove(self, keys: KeyArray) -> None:
        """Forgets `keys`; unknown ones are ignored."""

    def search(self, vectors: FloatArray, k: int) -> list[Ranking]:
        """The best `k` for each row of `vectors` (n, dim), fewer if there are fewer."""

    def __len__(self) -> int: ...


class LexicalIndex(Protocol):
    """BM25 over words."""

    def add(self, keys: KeyArray, texts: list[str]) -> None:
        """Adds texts under `keys` (n,), which are new and unique. Visible to the next search."""

    def remove(self, keys: KeyArray) -> None:
        """Forgets `keys`; unknown ones are ignored."""

    def search(self, query: str, k: int) -> LexicalRanking:
        """The best `k` for `query`, which is plain words: nothing in it is an operator."""

    def __len__(self) -> int: ...


def check_vectors(dim: int, vectors: FloatArray, num_keys: int | None = None) -> None:
    """Raises ConflictError if `vectors` are not rows of `dim` numbers, or not one a key."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise ConflictError(f"vectors of shape {vectors.shape} do not fit an index of {dim} dimensions")
    if num_keys is not None and num_keys != len(vectors):
        raise ConflictError(f"{num_keys} keys came with {len(vectors)} vectors")
