"""Whether another embedding model gives the embedder's vectors: the same weights, on another server or in here."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.errors.model_failures import UnequalVectorsError
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings
from serve.pipelines.stages import EmbedStage

# A model in another precision, or with another prefix, tokenizer or normal form, differs most in one of these.
PROBES = (
    "How hot does the oven get?",
    "error E-1042: connection refused by 10.0.0.1:8080",
    "Wie lange gilt die Garantie auf den Motor?",
    "東京の天気はどうですか",
    "x",
    "The quick brown fox jumps over the lazy dog, and then it does so again because nobody stopped it.",
)
PROBES_ID = hashlib.sha256("\0".join(PROBES).encode()).hexdigest()  # vectors of other texts are not comparable


class EmbedFallbackConfig(BaseModel):
    """Models that embed questions while the Embedder does not. Their vectors must equal the Embedder's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(
        default=(),
        max_length=3,
        description="Catalog aliases, tried in order: the Embedder's weights behind a URL, or inside the ingress.",
    )
    try_s: float = Field(
        default=2.0,
        gt=0,
        le=600,
        description="Longest wait for the Embedder, in seconds; at most half of the time left for the search.",
    )
    min_cosine: float = Field(
        default=0.995,
        ge=0.9,
        le=1,
        description="Least cosine of a model's vector and the Embedder's of the same text. Measured: 0.9999 in another "
        "precision of floats, 0.978 in int8.",
    )
    check_s: float = Field(default=60.0, ge=1, le=3600, description="Time between two comparisons, in seconds.")

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(models)) < len(models):
            raise ValueError("a model appears twice in the list")
        return models


async def embed_probes(embedder: EmbedStage, context: RequestContext) -> list[Embeddings]:
    """The probes as queries by the configured model, with token vectors if it has them. Raises RagError."""
    calls = (embedder.embed_query(text, context, None, True) for text in PROBES)
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Embeddings)]


def check_equal(name: str, vectors: Sequence[Embeddings], reference: Sequence[Embeddings], min_cosine: float) -> None:
    """Raises UnequalVectorsError if the model `name` embeds a probe otherwise. Tokens count if both have them."""
    for probe, actual, expected in zip(PROBES, vectors, reference, strict=True):
        pairs: list[tuple[NDArray[Any], NDArray[Any], str]] = [(actual.vectors, expected.vectors, "vectors")]
        if actual.query_tokens is not None and expected.query_tokens is not None:
            pairs.append((actual.query_tokens, expected.query_tokens, "token vectors"))
        for rows, expected_rows, kind in pairs:
            if rows.shape != expected_rows.shape:
                detail = f"{kind} of {rows.shape[1]} dimensions, {len(rows)} of a text, not of "
                raise UnequalVectorsError(name, f"{detail}{expected_rows.shape[1]}, {len(expected_rows)}")
            cosine = _least_cosine(rows.astype(np.float32), expected_rows.astype(np.float32))
            if not cosine >= min_cosine:  # also NaN
                raise UnequalVectorsError(name, f"{kind} of {probe!r} have a cosine of {cosine:.4f} to the embedder's")


def _least_cosine(rows: NDArray[np.float32], expected_rows: NDArray[np.float32]) -> float:
    """Of unit vectors, row by row; 1 without rows."""
    return float((rows * expected_rows).sum(axis=1).min(initial=1.0))
