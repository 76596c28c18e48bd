"""Reranking without a replica: texts of all requests sorted by length, in batches of bounded tokens."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from models.compute import passes_at_once
from models.embedding.offline import forward_all
from models.reranking.base import RerankingModel, RerankRequest, RerankWork
from models.types.arrays import FloatArray


def score(model: RerankingModel, requests: Sequence[RerankRequest]) -> list[FloatArray]:
    """For each request, in order, the float32 scores (len(request.texts),) of its texts."""
    works = [model.tokenize(request) for request in requests]
    encodings = [encoding for work in works for encoding in work.encodings]
    outputs = iter(forward_all(model.forward, encodings, at_once=passes_at_once(model)))
    return [complete(model, work, list(islice(outputs, len(work.encodings)))) for work in works]


def complete(model: RerankingModel, work: RerankWork, outputs: Sequence[Any]) -> FloatArray:
    """The scores of a request, from the outputs of all its encodings in order, which the model also keeps."""
    for place, output in enumerate(outputs):
        model.keep(work, place, output)
    return model.finish(work, outputs)
