"""Ballast: documents without a chunk, which give a Tantivy index the mean length of all shards.

BM25 compares a chunk's length with the mean length, which Tantivy takes from the index itself. In a shard of 700 chunks
it is some 1 % off the mean of all shards, enough to exchange neighbours in a ranking. Ballast has one of two words that
no query searches. It is never removed, so the number of documents with each word tells how much there is.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

SHORT_WORD, LONG_WORD = "qzshortqz", "qzlongqz"  # the stemmer leaves them as they are
WORDS = frozenset({SHORT_WORD, LONG_WORD})
LONG_TOKENS = 1_000  # longer than a chunk, so that few are needed
MAX_DEVIATION = 0.0005  # of the mean length; scores are then off by at most 0.0002 of their value


@dataclass(frozen=True)
class IndexSize:
    """Documents and tokens of an index, with removed documents that were not merged away yet."""

    num_documents: int
    num_tokens: int

    @property
    def mean_length(self) -> float:
        return self.num_tokens / max(1, self.num_documents)


@dataclass(frozen=True)
class Ballast:
    """Numbers of documents of one token, and of LONG_TOKENS tokens."""

    num_short: int = 0
    num_long: int = 0

    @property
    def num_documents(self) -> int:
        return self.num_short + self.num_long

    @property
    def num_tokens(self) -> int:
        return self.num_short + LONG_TOKENS * self.num_long

    def texts(self) -> Iterator[str]:
        yield from (SHORT_WORD for _ in range(self.num_short))
        yield from (" ".join([LONG_WORD] * LONG_TOKENS) for _ in range(self.num_long))


def ballast_for(size: IndexSize, mean_length: float) -> Ballast:
    """Return the ballast to add to an index of `size`, so that its mean length becomes `mean_length`.

    Nothing if the mean is near enough, or nearer than a document can bring it.
    """
    documents, tokens = size.num_documents, size.num_tokens
    tolerance = max(MAX_DEVIATION, 1 / max(1, documents))
    if abs(size.mean_length / mean_length - 1) <= tolerance or not 1 < mean_length < LONG_TOKENS / 2:
        return Ballast()
    missing = mean_length * documents - tokens
    # One long document may be too much; short ones then lower the mean again.
    num_long = math.ceil(missing / (LONG_TOKENS - mean_length)) if missing > 0 else 0
    surplus = tokens + LONG_TOKENS * num_long - mean_length * (documents + num_long)
    return Ballast(round(surplus / (mean_length - 1)), num_long)
