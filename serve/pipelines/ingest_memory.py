"""The memory of files under way: their vectors stay in the ingress until a file is stored whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Measured: a chunk of 170 tokens has 15.3 kB of token vectors and 1.5 kB of a vector; its texts take the remainder.
CHUNK_BYTES = 20_000
CHUNK_BYTES_WITHOUT_TOKENS = 5_000
SMALL_CHUNKS = 256  # a page. Smaller files do not wait: the places for files bound their memory


class IngestMemory:
    """A budget that large files share, first come first served. Belongs to one event loop.

    A file that needs more than the whole budget waits until it has all of it.
    """

    def __init__(self, num_bytes: int) -> None:
        self._size = self._free = num_bytes
        self._turn = asyncio.Lock()  # fair: the first of those that wait
        self._freed = asyncio.Event()

    def resize(self, num_bytes: int) -> None:
        """Takes effect with the next file. What is in use stays in use."""
        self._free += num_bytes - self._size
        self._size = num_bytes
        self._freed.set()

    @asynccontextmanager
    async def of(self, num_chunks: int, has_tokens: bool) -> AsyncIterator[None]:
        """Wait for the memory of a file, and hold it inside the block."""
        if num_chunks <= SMALL_CHUNKS:
            yield
            return
        needed = num_chunks * (CHUNK_BYTES if has_tokens else CHUNK_BYTES_WITHOUT_TOKENS)
        async with self._turn:
            while self._free < (taken := min(needed, self._size)):
                self._freed.clear()
                await self._freed.wait()
            self._free -= taken
        try:
            yield
        finally:
            self._free += taken
            self._freed.set()
