"""Embedding by feature hashing: no weights, no download, microseconds a text. For tests and trial deployments."""

import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.errors.requests import InvalidRequestError
from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray, unit_rows

WORD = re.compile(r"\w+")
START = 0  # the only special token: the first of each text, without weight


class HashingConfig(BaseModel):
    """An entry of kind `hashing`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(default=256, ge=8, le=65_536, description="Buckets that words are hashed into.")


class HashingModel:
    """An EmbeddingModel: texts that share words are similar. It knows no synonyms, so keyword search is better.

    A word's token id is 1 + 2 * bucket if its weight is 1, and 2 + 2 * bucket if its weight is -1.
    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009.
    """

    config_class = HashingConfig
    has_token_vectors = False
    max_tokens = 1_000_000

    def __init__(self, name: str, config: HashingConfig) -> None:
        self.name, self.dim = name, config.dim
        self.dims: tuple[int, ...] = (config.dim,)
        self.generation = f"{name}@{config.dim}"

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self.tokenize_documents(texts)

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return [self._encode(text) for text in texts]

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        vectors = np.zeros((len(batch), self.dim), np.float32)
        for row, encoding in zip(vectors, batch, strict=True):
            buckets, minus = np.divmod(encoding.ids[1:] - 1, 2)
            np.add.at(row, buckets, 1.0 - 2.0 * minus)
        return unit_rows(vectors)

    def _encode(self, text: TextInput) -> Encoding:
        ids = list(self._word_ids(text)) if isinstance(text, str) else list(text)
        unknown = [token_id for token_id in ids if not START < token_id <= 2 * self.dim]
        if unknown:
            raise InvalidRequestError(f"{unknown[0]} is not a token id of this model; use 1 to {2 * self.dim}")
        return Encoding(np.array([START, *ids[: self.max_tokens - 1]], np.int32))

    def _word_ids(self, text: str) -> Iterator[int]:
        for word in WORD.findall(text.lower()):
            digest = zlib.crc32(word.encode())
            # The sign keeps the expected dot product of unrelated texts at zero.
            yield 1 + 2 * (digest % self.dim) + (0 if digest & 0x8000_0000 else 1)
