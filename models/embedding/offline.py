"""Embedding without a replica: all texts in one call, sorted by length, in batches of bounded tokens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from models.embedding.base import EmbeddingModel
from models.tokens.encoding import Encoding, TextInput
from models.types import FloatArray

MAX_BATCH_TOKENS = 2048  # padding included; the default of the replicas


def embed_queries(model: EmbeddingModel, texts: Sequence[TextInput]) -> FloatArray:
    """Unit vectors (len(texts), dim), in order."""
    return _rows(model, forward_all(model.forward, model.tokenize_queries(texts)))


def embed_documents(model: EmbeddingModel, texts: Sequence[TextInput]) -> FloatArray:
    """Unit vectors (len(texts), dim), in order."""
    return _rows(model, forward_all(model.forward, model.tokenize_documents(texts)))


def forward_all(
    forward: Callable[[Sequence[Encoding]], Iterable[Any]],
    encodings: Sequence[Encoding],
    max_batch_tokens: int = MAX_BATCH_TOKENS,
) -> list[Any]:
    """One output per encoding, in order."""
    outputs: dict[int, Any] = {}
    for places in batches_by_length(encodings, max_batch_tokens):
        outputs |= zip(places, forward([encodings[place] for place in places]), strict=True)
    return [outputs[place] for place in range(len(encodings))]


def batches_by_length(encodings: Sequence[Encoding], max_batch_tokens: int) -> Iterator[list[int]]:
    """Batches of places in `encodings`, the longest first: similar lengths share a batch, to need little padding."""
    batch: list[int] = []
    for place in sorted(range(len(encodings)), key=lambda index: -len(encodings[index])):
        if batch and len(encodings[batch[0]]) * (len(batch) + 1) > max_batch_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _rows(model: EmbeddingModel, vectors: list[FloatArray]) -> FloatArray:
    return np.stack(vectors) if vectors else np.empty((0, model.dim), np.float32)
