"""How well each sentence of the passages matches the question, by stored token vectors: no model reads them again."""

import asyncio
from collections.abc import Sequence
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from models.generation.reading import spans_in_indexed_text
from models.index.token_search import SentenceScoreRequest, TokenScoreRequest
from models.reranking.query import QueryTokens
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from serve.pipelines.stages import DenseStage


async def sentence_scores(
    dense: DenseStage, tokens: Sequence[QueryTokens], passages: Sequence[Passage], context: RequestContext
) -> tuple[FloatArray, ...]:
    """For each passage the MaxSim of each of its sentences, NaN where it is unknown; empty if none is known.

    All tokens of the question weigh alike: measured in docs/quality.md. Raises the errors of the dense search.
    """
    spans = tuple(spans_in_indexed_text(passage) for passage in passages)
    keys = np.array([passage.key for passage in passages], np.int64)
    requests = [SentenceScoreRequest(_chunks(keys, of_generation), spans) for of_generation in tokens]
    answers = await asyncio.gather(*(dense.score_sentences(request, context) for request in requests))
    # A passage is in one generation of those searched, nearly always the only one.
    scores = tuple(starmap(_merge, zip(*answers, strict=True)))
    return scores if any(np.isfinite(of_passage).any() for of_passage in scores) else ()


def _chunks(keys: NDArray[np.int64], tokens: QueryTokens) -> TokenScoreRequest:
    weights = np.ones(len(tokens.vectors), np.float32)
    return TokenScoreRequest(tokens.vectors, weights, keys, tokens.generation, tokens.scope)


def _merge(*scores: FloatArray) -> FloatArray:
    return np.fmax.reduce(scores)
