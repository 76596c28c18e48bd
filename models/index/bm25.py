"""BM25 with the counts of several indexes together, by the formula and the constants that Tantivy has.

A shard has only some of a store's chunks. Its own counts would score the same text differently in each shard.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

K1, B = 1.2, 0.75  # Tantivy's
EXACT_LENGTHS = 24  # lengths below are stored as they are


@dataclass(frozen=True)
class WordCounts:
    """The counts that BM25 needs, of one index or of all shards of a store.

    `num_indexed` also counts removed chunks that Tantivy has not merged away yet, as `num_tokens` and `num_with` do.
    `num_with` is the number of chunks with a term, for each term of one query. `languages` are those of the texts.
    """

    num_chunks: int
    num_indexed: int
    num_tokens: int
    num_with: dict[str, int]
    languages: frozenset[str] = frozenset()

    @property
    def mean_length(self) -> float:
        """Tokens of a chunk. Not zero, so that it can divide."""
        return max(self.num_tokens, 1) / max(self.num_indexed, 1)

    def score_weight(self, term: str) -> float:
        """The term's inverse document frequency in a score."""
        return idf(self.num_with.get(term, 0), self.num_indexed)

    def weight(self, terms: Iterable[str]) -> float:
        """A word's inverse document frequency among the chunks that were not removed. No chunk has two of its terms."""
        # Removed chunks may still count, so the number of chunks with the word can exceed that of all chunks.
        num_with = sum(self.num_with.get(term, 0) for term in terms)
        return idf(min(num_with, self.num_chunks), self.num_chunks)

    def without(self, num_documents: int, num_tokens: int) -> "WordCounts":
        """These counts without documents that have none of the terms."""
        return WordCounts(
            self.num_chunks - num_documents,
            self.num_indexed - num_documents,
            self.num_tokens - num_tokens,
            self.num_with,
            self.languages,
        )

    def __add__(self, other: "WordCounts") -> "WordCounts":
        terms = self.num_with.keys() | other.num_with.keys()
        return WordCounts(
            self.num_chunks + other.num_chunks,
            self.num_indexed + other.num_indexed,
            self.num_tokens + other.num_tokens,
            {term: self.num_with.get(term, 0) + other.num_with.get(term, 0) for term in terms},
            self.languages | other.languages,
        )


NO_COUNTS = WordCounts(0, 0, 0, {})


def total(counts: Iterable[WordCounts]) -> WordCounts:
    """The counts of several indexes together."""
    return reduce(WordCounts.__add__, counts, NO_COUNTS)


def scores(texts: Sequence[Counter[str]], terms: Sequence[str], counts: WordCounts) -> list[float]:
    """Score texts, each given as the number of times that it has a term. A repeated term of the query counts again."""
    weights = [(term, (K1 + 1) * counts.score_weight(term)) for term in terms]
    norms = [_norm(rounded_length(text.total()), counts) for text in texts]
    return [
        sum(weight * text[term] / (text[term] + norm) for term, weight in weights if term in text)
        for text, norm in zip(texts, norms, strict=True)
    ]


def _norm(length: float, counts: WordCounts) -> float:
    return K1 * (1 - B + B * length / counts.mean_length)


def rounded_length(num_tokens: int) -> int:
    """Return the length that Tantivy and Lucene keep in one byte: from 40 on, the four highest bits above 24."""
    above = num_tokens - EXACT_LENGTHS
    if above < 0:
        return num_tokens
    shift = max(0, above.bit_length() - 4)
    return EXACT_LENGTHS + (above >> shift << shift)


def idf(num_with: int, num_chunks: int) -> float:
    """Return BM25's ln(1 + (N - n + 0.5) / (n + 0.5)), for N chunks, n of them with the term."""
    return math.log(1 + (num_chunks - num_with + 0.5) / (num_with + 0.5))
