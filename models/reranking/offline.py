"""A model without a replica: the requests' texts sorted by length, in batches of a bounded number of tokens."""

from collections.abc import Sequence
from itertools import islice

from models.embedding.offline import forward_all
from models.reranking.base import RerankingModel, RerankRequest
from models.types import FloatArray


def score(model: RerankingModel, requests: Sequence[RerankRequest]) -> list[FloatArray]:
    """A float32 score a text (len(request.texts),) of each request, in order."""
    works = [model.tokenize(request) for request in requests]
    outputs = iter(forward_all(model.forward, [encoding for work in works for encoding in work.encodings]))
    return [model.finish(work, list(islice(outputs, len(work.encodings)))) for work in works]
