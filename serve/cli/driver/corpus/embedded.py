"""The vectors of a corpus's real chunks, computed once by the real model and kept in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.embedding.base import EmbeddingModel
from models.embedding.offline import batches_by_length
from models.tokens.encoding import Encoding
from models.types import FloatArray

MAX_BATCH_TOKENS = 2048
REPORT_EVERY = 500  # chunks
VECTORS_FILE = "vectors.npy"

Report = Callable[[str], None]


@dataclass(frozen=True)
class EmbeddedChunks:
    """Row i of `vectors` (n, dim) is the unit vector of chunk i."""

    vectors: FloatArray


def embedded(model: EmbeddingModel, texts: Sequence[str], folder: Path, report: Report) -> EmbeddedChunks:
    """The texts' vectors, from `folder` if an earlier call wrote them there. Its name must identify texts and model."""
    path = folder / VECTORS_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, _forward_all(model, texts, report))
    return EmbeddedChunks(np.load(path))


def _forward_all(model: EmbeddingModel, texts: Sequence[str], report: Report) -> FloatArray:
    encodings = model.tokenize_documents(texts)
    vectors, num_done = np.empty((len(texts), model.dim), np.float32), 0
    for places in batches_by_length(encodings, MAX_BATCH_TOKENS):
        batch: list[Encoding] = [encodings[place] for place in places]
        vectors[places] = model.forward(batch)
        num_done += len(places)
        if num_done // REPORT_EVERY > (num_done - len(places)) // REPORT_EVERY:
            report(f"embedded {num_done:,} of {len(texts):,} real chunks")
    return vectors


def _write(path: Path, array: FloatArray) -> None:
    """Whole or not at all."""
    unfinished = path.with_suffix(".unfinished.npy")
    np.save(unfinished, array)
    unfinished.replace(path)
