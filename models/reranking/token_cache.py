"""Token vectors of texts seen lately, within a bound in bytes."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

TokenVectors = NDArray[np.float16]


class TokenVectorCache:
    """Least recently used out first. Safe to call from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.size_bytes = max_bytes, 0
        self._entries: OrderedDict[str, TokenVectors] = OrderedDict()
        self._lock = threading.Lock()

    def get_many(self, texts: list[str]) -> dict[str, TokenVectors]:
        """The vectors of those `texts` that are here, which become the most recently used."""
        with self._lock:
            found = {text: self._entries[text] for text in texts if text in self._entries}
            for text in found:
                self._entries.move_to_end(text)
            return found

    def put(self, text: str, vectors: TokenVectors) -> None:
        """Keeps `vectors` (n, dim), unless they alone pass the bound."""
        size_bytes = _size_bytes(text, vectors)
        if size_bytes > self.max_bytes:
            return
        with self._lock:
            self._forget(text)
            self._entries[text] = vectors
            self.size_bytes += size_bytes
            while self.size_bytes > self.max_bytes:
                self._forget(next(iter(self._entries)))

    def _forget(self, text: str) -> None:
        vectors = self._entries.pop(text, None)
        if vectors is not None:
            self.size_bytes -= _size_bytes(text, vectors)

    def __len__(self) -> int:
        return len(self._entries)


def _size_bytes(text: str, vectors: TokenVectors) -> int:
    return vectors.nbytes + len(text.encode())
