"""The vectors of a corpus's real chunks and of their tokens, computed once by the real model and kept in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.embedding.base import EmbeddingModel, TokenEmbedding, TokenEmbeddingModel, has_token_vectors
from models.embedding.offline import batches_by_length
from models.types.arrays import FloatArray, HalfArray

MAX_BATCH_TOKENS = 2048
REPORT_EVERY = 500  # chunks
VECTORS, TOKENS, SPANS, STARTS = "vectors.npy", "tokens.npy", "spans.npy", "starts.npy"
UNFINISHED = "unfinished-"

Report = Callable[[str], None]


@dataclass(frozen=True)
class TokenRows:
    """The token vectors of all chunks, one after the other (n, dim); chunk i has rows starts[i] to starts[i + 1].

    `spans` (n, 2) are the characters that each row comes from, in the text of its chunk.
    """

    tokens: HalfArray
    spans: NDArray[np.int32]
    starts: NDArray[np.int64]

    def within(self, chunk: int, start: int, end: int) -> HalfArray:
        """The rows that come from characters `start` to `end` of the chunk."""
        rows = slice(self.starts[chunk], self.starts[chunk + 1])
        first, last = np.searchsorted(self.spans[rows, 0], (start, end))
        return self.tokens[rows][first:last]


@dataclass(frozen=True)
class EmbeddedChunks:
    """Row i of `vectors` (n, dim) is the unit vector of chunk i. `tokens` is None for a model without token vectors."""

    vectors: FloatArray
    tokens: TokenRows | None


def embedded(model: EmbeddingModel, texts: Sequence[str], folder: Path, report: Report) -> EmbeddedChunks:
    """The texts' vectors, from `folder` if an earlier call wrote them there. Its name must identify texts and model."""
    names = (VECTORS, TOKENS, SPANS, STARTS) if has_token_vectors(model) else (VECTORS,)
    if not all((folder / name).exists() for name in names):
        folder.mkdir(parents=True, exist_ok=True)
        _write(model, texts, folder, report)
        for name in names:
            (folder / f"{UNFINISHED}{name}").replace(folder / name)
    vectors = np.load(folder / VECTORS)
    if not has_token_vectors(model):
        return EmbeddedChunks(vectors, None)
    tokens = np.load(folder / TOKENS, mmap_mode="r")  # 100 kB a chunk
    return EmbeddedChunks(vectors, TokenRows(tokens, np.load(folder / SPANS), np.load(folder / STARTS)))


def _write(model: EmbeddingModel, texts: Sequence[str], folder: Path, report: Report) -> None:
    """Writes each file under an unfinished name."""
    encodings, num_done = model.tokenize_documents(texts), 0
    vectors = np.empty((len(texts), model.dim), np.float32)
    rows = _TokenFile(model, texts, folder) if has_token_vectors(model) else None
    for places in batches_by_length(encodings, MAX_BATCH_TOKENS):
        batch = [encodings[place] for place in places]
        if rows is None:
            vectors[places] = model.forward(batch)
        else:
            vectors[places] = rows.write(places, rows.model.forward_tokens(batch))
        num_done += len(places)
        if num_done // REPORT_EVERY > (num_done - len(places)) // REPORT_EVERY:
            report(f"embedded {num_done:,} of {len(texts):,} real chunks")
    np.save(folder / f"{UNFINISHED}{VECTORS}", vectors)


class _TokenFile:
    """The files of TokenRows, filled batch by batch."""

    def __init__(self, model: TokenEmbeddingModel, texts: Sequence[str], folder: Path) -> None:
        self.model = model
        spans = [model.document_token_spans(text) for text in texts]
        self._starts = np.cumsum([0, *map(len, spans)])
        self._tokens: HalfArray | None = None
        self._path = folder / f"{UNFINISHED}{TOKENS}"
        np.save(folder / f"{UNFINISHED}{SPANS}", np.concatenate(spans).astype(np.int32))
        np.save(folder / f"{UNFINISHED}{STARTS}", self._starts)

    def write(self, places: Sequence[int], outputs: Sequence[TokenEmbedding]) -> FloatArray:
        """Stores the token vectors of the texts at `places`, and returns the texts' own."""
        if self._tokens is None:
            shape = (int(self._starts[-1]), outputs[0].tokens.shape[1])
            open_memmap: Callable[..., HalfArray] = np.lib.format.open_memmap
            self._tokens = open_memmap(self._path, "w+", np.float16, shape)
        ranges = list(pairwise(self._starts.tolist()))
        for place, output in zip(places, outputs, strict=True):
            self._tokens[slice(*ranges[place])] = output.tokens
        return np.stack([output.vector for output in outputs])
