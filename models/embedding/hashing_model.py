"""Embedding by feature hashing: no weights, no download, microseconds. For tests, and to try a deployment out."""

import re
import zlib

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.types import FloatArray

WORD = re.compile(r"\w+")


class HashingConfig(BaseModel):
    """An entry of kind `hashing`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(default=256, ge=8, le=65_536, description="Buckets that words are hashed into.")


class HashingModel:
    """An EmbeddingModel: texts that share words are near. Knows no synonyms, so keyword search beats it.

    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009.
    """

    max_tokens = 1_000_000

    def __init__(self, name: str, config: HashingConfig) -> None:
        self.name, self.dim = name, config.dim
        self.generation = f"{name}@{config.dim}"

    def embed_queries(self, texts: list[str]) -> FloatArray:
        return self.embed_documents(texts)

    def embed_documents(self, texts: list[str]) -> FloatArray:
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in WORD.findall(text.lower()):
                digest = zlib.crc32(word.encode())
                # The sign keeps the expected dot product of unrelated texts at zero.
                row[digest % self.dim] += 1.0 if digest & 0x8000_0000 else -1.0
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
