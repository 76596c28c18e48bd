"""Embedding without a replica: all texts in one call, sorted by length, in batches of bounded tokens."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from models.compute import passes_at_once
from models.embedding.base import EmbeddingModel
from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray

MAX_BATCH_TOKENS = 2048  # padding included; the default of the replicas


def embed_queries(model: EmbeddingModel, texts: Sequence[TextInput]) -> FloatArray:
    """Unit vectors (len(texts), dim), in order."""
    return _rows(model, forward_all(model.forward, model.tokenize_queries(texts), at_once=passes_at_once(model)))


def embed_documents(model: EmbeddingModel, texts: Sequence[TextInput]) -> FloatArray:
    """Unit vectors (len(texts), dim), in order."""
    return _rows(model, forward_all(model.forward, model.tokenize_documents(texts), at_once=passes_at_once(model)))


def forward_all(
    forward: Callable[[Sequence[Encoding]], Iterable[Any]],
    encodings: Sequence[Encoding],
    max_batch_tokens: int = MAX_BATCH_TOKENS,
    at_once: int | None = None,
) -> list[Any]:
    """One output per encoding, in order, from `at_once` passes at once: see models.compute.passes_at_once."""
    batches = list(batches_by_length(encodings, max_batch_tokens))
    results = _map(lambda places: forward([encodings[place] for place in places]), batches, at_once or 1)
    outputs: list[Any] = [None] * len(encodings)
    for places, values in zip(batches, results, strict=True):
        for place, value in zip(places, values, strict=True):
            outputs[place] = value
    return outputs


def _map(run: Callable[[list[int]], Iterable[Any]], batches: Sequence[list[int]], at_once: int) -> list[Iterable[Any]]:
    if at_once == 1:  # this thread may have what it needs from an earlier pass
        return list(map(run, batches))
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(run, batches))


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
