"""The seams of search: vectors or words in, chunk keys out. An index holds one vector store's chunks."""

from typing import Protocol

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
