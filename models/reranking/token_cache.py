"""A cache of texts' token vectors, bounded in bytes."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

TokenVectors = NDArray[np.float16]


class TokenVectorCache:
    """Evicts the least recently used text first. Safe to call from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.size_bytes = max_bytes, 0
        self._entries: OrderedDict[str, TokenVectors] = OrderedDict()
        self._lock = threading.Lock()

    def get_many(self, texts: list[str]) -> dict[str, TokenVectors]:
        """The vectors of the `texts` in the cache, which become the most recently used."""
        with self._lock:
            vectors = {text: self._entries[text] for text in texts if text in self._entries}
            for text in vectors:
                self._entries.move_to_end(text)
            return vectors

    def put(self, text: str, vectors: TokenVectors) -> None:
        """Add `vectors` (n, dim), unless they alone exceed the bound."""
        size_bytes = _size_bytes(text, vectors)
        if size_bytes > self.max_bytes:
            return
        with self._lock:
            self._evict(text)
            self._entries[text] = vectors
            self.size_bytes += size_bytes
            while self.size_bytes > self.max_bytes:
                self._evict(next(iter(self._entries)))

    def _evict(self, text: str) -> None:
        vectors = self._entries.pop(text, None)
        if vectors is not None:
            self.size_bytes -= _size_bytes(text, vectors)

    def __len__(self) -> int:
        return len(self._entries)


def _size_bytes(text: str, vectors: TokenVectors) -> int:
    return vectors.nbytes + len(text.encode())
