"""A chunk's token vectors as a few kilobytes, and MaxSim over these bytes, without a model.

Neighbouring tokens are pooled, then each vector is coded in few bits. docs/quality.md compares bits and poolings.
Source of the pooling: Clavié et al., Reducing the Footprint of Multi-Vector Retrieval, 2024. They pool by similarity;
here neighbours are pooled, so that the order of the text is kept.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.index.gaussian_codes import ByteArray, GaussianCodes, code_bytes, quantize, similarities
from models.index.max_sim import weighted_best
from models.types.arrays import FloatArray, HalfArray, KeyArray, unit_rows

Blob = bytes | memoryview | ByteArray

VERSION = 1
HEADER = struct.Struct("<BBB?II")  # version, bits, pooling, whether starts follow; tokens before pooling, dimensions
SCALE = np.dtype("<f2")
START = np.dtype("<u2")
LAST_START = 2**16 - 1  # a token that begins later, in a chunk of over 65,535 characters, counts as beginning here
HALF = 16  # the bits that mean float16, without rotation and scales


@dataclass(frozen=True)
class TokenCodecConfig:
    """`bits` a dimension (16 is plain float16); `pooling` neighbouring tokens share a vector, 1 to 255."""

    bits: Literal[1, 2, 4, 16] = 2
    pooling: int = 1


DEFAULT = TokenCodecConfig()


@dataclass(frozen=True)
class _Header:
    bits: int
    pooling: int
    has_starts: bool
    num_tokens: int
    dim: int

    @property
    def num_rows(self) -> int:
        return -(-self.num_tokens // self.pooling)

    @property
    def scales_at(self) -> int:
        row_bytes = self.dim * SCALE.itemsize if self.bits == HALF else code_bytes(self.dim, self.bits)
        return HEADER.size + self.num_rows * row_bytes

    @property
    def starts_at(self) -> int:
        return self.scales_at + (0 if self.bits == HALF else self.num_rows * SCALE.itemsize)

    @property
    def size(self) -> int:
        return self.starts_at + self.has_starts * self.num_tokens * START.itemsize


def encode_tokens(
    tokens: HalfArray, config: TokenCodecConfig = DEFAULT, starts: NDArray[np.int64] | None = None
) -> bytes:
    """The blob of one chunk's unit token vectors (n, dim), in the order of the text; empty without tokens.

    `starts` (n,), the first character of each token, lets sentence_scores find the tokens of a sentence.
    """
    if not len(tokens):
        return b""
    pooled = pool_neighbours(tokens.astype(np.float32), config.pooling)
    header = HEADER.pack(VERSION, config.bits, config.pooling, starts is not None, *tokens.shape)
    end = b"" if starts is None else np.minimum(starts, LAST_START).astype(START).tobytes()
    if config.bits == HALF:
        return header + pooled.astype(SCALE).tobytes() + end
    stored = quantize(pooled, config.bits)
    return header + stored.codes.tobytes() + stored.scales.astype(SCALE).tobytes() + end


def max_sim_scores(query: HalfArray, weights: FloatArray, blobs: Sequence[Blob]) -> FloatArray:
    """Scores (len(blobs),) from about -1 to 1, as of `max_sim` over the vectors themselves; NaN for an empty blob.

    `query` (n, dim) are the question's token vectors, `weights` (n,) their weights. Raises ValueError for a blob
    that is damaged, or of another version or dimension.
    """
    scores = np.full(len(blobs), np.nan, np.float32)
    for places, headers, matches in _matches(query, blobs):
        scores[places] = weighted_best(matches, weights, [header.num_rows for header in headers])
    return scores


def read_codes(blob: Blob, dim: int) -> GaussianCodes:
    """The codes and scales of a chunk. Raises as max_sim_scores, and ValueError for plain float16."""
    header = _read_header(blob, dim)
    if header.bits == HALF:
        raise ValueError("token vectors in plain float16 have no codes")
    array = np.frombuffer(blob, np.uint8)
    scales = array[header.scales_at : header.starts_at].view(SCALE)
    codes = array[HEADER.size : header.scales_at].reshape(header.num_rows, -1)
    return GaussianCodes(codes, scales, dim, header.bits)


def sentence_scores(
    query: HalfArray, weights: FloatArray, blobs: Sequence[Blob], spans: Sequence[NDArray[np.int64]]
) -> tuple[FloatArray, ...]:
    """MaxSim (len(spans[i]),) of the question with the tokens that begin in each span of characters of chunk i.

    NaN for a span without tokens, and for all of them if the blob is empty or has no starts. Raises as max_sim_scores.
    """
    scores = tuple(np.full(len(of_blob), np.nan, np.float32) for of_blob in spans)
    for places, headers, matches in _matches(query, blobs) if len(query) else ():
        num_rows = 0
        for place, header in zip(places, headers, strict=True):
            rows = matches[:, num_rows : num_rows + header.num_rows]
            first, last = np.searchsorted(token_starts(blobs[place]), spans[place].T)
            has_tokens = last > first
            scores[place][has_tokens] = _best_of_spans(rows, weights, first[has_tokens], last[has_tokens], header)
            num_rows += header.num_rows
    return scores


def _best_of_spans(
    rows: FloatArray, weights: FloatArray, first: KeyArray, last: KeyArray, header: _Header
) -> FloatArray:
    """MaxSim of the tokens from `first` up to `last`, without it, of each span. Pooled neighbours share a row."""
    columns = [np.arange(start, end) // header.pooling for start, end in zip(first, last, strict=True)]
    if not columns:
        return np.empty(0, np.float32)
    return weighted_best(rows[:, np.concatenate(columns)], weights, (last - first).tolist())


def token_starts(blob: Blob) -> NDArray[np.int64]:
    """The first character of each token of the chunk (n,), in rising order; empty if the blob has none."""
    if not len(blob):
        return np.empty(0, np.int64)
    header = _header(blob)
    return np.frombuffer(blob, np.uint8)[header.starts_at :].view(START).astype(np.int64)


def pool_neighbours(tokens: FloatArray, pooling: int) -> FloatArray:
    """Unit vectors (n / pooling rounded up, dim): each the direction of the mean of `pooling` neighbours in order."""
    if pooling == 1:
        return tokens
    sums = tokens[::pooling].copy()
    for place in range(1, pooling):  # ten times as fast as np.add.reduceat
        neighbours = tokens[place::pooling]
        sums[: len(neighbours)] += neighbours
    return unit_rows(sums)


def _read_header(blob: Blob, dim: int) -> _Header:
    header = _header(blob)
    if header.dim != dim:
        raise ValueError(f"token vectors have {header.dim} dimensions; those of the query have {dim}")
    return header


def _header(blob: Blob) -> _Header:
    if len(blob) < HEADER.size or blob[0] != VERSION:
        raise ValueError(f"token vectors of another version; this release reads version {VERSION}")
    header = _Header(*HEADER.unpack(bytes(blob[: HEADER.size]))[1:])
    if header.size != len(blob):
        raise ValueError(f"token vectors have {len(blob)} bytes, but their header says {header.size}")
    return header


def _matches(query: HalfArray, blobs: Sequence[Blob]) -> Iterator[tuple[list[int], list[_Header], FloatArray]]:
    """The places of the blobs with the same bits, their headers, and the cosines (len(query), all their rows).

    Empty blobs are in none. One multiplication for many blobs: it rotates the query, which costs as much as a chunk.
    """
    wide, dim = query.astype(np.float32), query.shape[1]
    headers = {place: _read_header(blob, dim) for place, blob in enumerate(blobs) if len(blob)}
    for bits in {header.bits for header in headers.values()}:
        places = [place for place, header in headers.items() if header.bits == bits]
        alike = [headers[place] for place in places]
        yield places, alike, _similarities(wide, [blobs[place] for place in places], alike)


def _similarities(query: FloatArray, blobs: Sequence[Blob], headers: Sequence[_Header]) -> FloatArray:
    """Cosines (len(query), all rows of the blobs), blob by blob. All have the same bits and dimensions."""
    bits, dim = headers[0].bits, headers[0].dim
    arrays = [np.frombuffer(blob, np.uint8) for blob in blobs]
    parts = list(zip(arrays, headers, strict=True))
    codes = np.concatenate([array[HEADER.size : header.scales_at] for array, header in parts])
    if bits == HALF:
        return query @ codes.view(SCALE).reshape(-1, dim).astype(np.float32).T
    scales = np.concatenate([array[header.scales_at : header.starts_at] for array, header in parts]).view(SCALE)
    return similarities(query, GaussianCodes(codes.reshape(len(scales), -1), scales, dim, bits))
