"""Embedding by any server of OpenAI's API. Its vectors are one vector space, as those of a local model are."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.errors.model_failures import ModelUnavailableError, UnusableVectorError
from models.errors.requests import InvalidRequestError
from models.remote.client import blocking_client, request_headers, translated
from models.remote.config import RemoteConfig
from models.remote.encoding import MAX_PASSES, RemoteEncoding, remote_encoding
from models.remote.origin import current_origin
from models.remote.rate_limit import RateLimit
from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray

STAGE = "embed"
SAFE_CHARS_PER_TOKEN = 3  # a text of max_tokens has about four; a longer text is cut rather too early
PLAIN_TEXT = "How hot does the oven get?"  # every model has a vector for it


class OpenAIEmbeddingConfig(RemoteConfig):
    """An entry of kind `openai`."""

    dim: int = Field(ge=8, le=65_536, description="Length of the vectors.")
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=r"^[^@\s]+$",
        description="Names the vector space beside the alias. None: the model's name. Change it with the weights.",
    )
    send_dimensions: bool = Field(default=False, description="Ask the server for `dim` dimensions, if it can cut.")
    max_tokens: int = Field(default=512, ge=8, le=131_072, description="A longer text is cut, by its characters.")
    query_prefix: str = Field(default="", max_length=1000)
    document_prefix: str = Field(default="", max_length=1000)
    token_ids: bool = Field(
        default=False, description="Pass on token ids of clients: they have the model's own tokenizer, as OpenAI's do."
    )
    tokenizer: str | None = Field(
        default=None,
        description="Catalog alias of a local embedding model that measures chunks. None: words are counted.",
    )
    max_inputs: int = Field(default=128, ge=1, le=2048, description="Most texts of one request.")


class OpenAIEmbeddingModel:
    """An EmbeddingModel over HTTP. The batcher sends `max_concurrency` requests at once."""

    config_class = OpenAIEmbeddingConfig
    has_token_vectors = False
    is_remote = True

    def __init__(self, name: str, config: OpenAIEmbeddingConfig) -> None:
        self.name, self.dim, self.dims = name, config.dim, (config.dim,)
        self.generation = f"{name}@{config.revision or config.model}"
        self.max_tokens, self.runs_on = config.max_tokens, config.base_url
        self.passes_at_once = min(config.max_concurrency, MAX_PASSES)
        self._config = config
        self._client = blocking_client(name, STAGE, config)
        self._rate = RateLimit(STAGE, config.max_requests_per_minute)

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return [self._encoding(text, self._config.query_prefix) for text in texts]

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return [self._encoding(text, self._config.document_prefix) for text in texts]

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        """Raises OverloadedError, DeadlineExceededError, StageUnavailableError, UnusableVectorError."""
        size = self._config.max_inputs
        rows = [self._embed(batch[start : start + size]) for start in range(0, len(batch), size)]
        vectors = np.concatenate(rows) if rows else np.empty((0, self.dim), np.float32)
        lengths = _lengths(vectors)
        if not _are_usable(lengths):
            raise self._unusable("all its numbers are 0" if np.isfinite(lengths).all() else "a number is not finite")
        return (vectors / lengths[:, np.newaxis]).astype(np.float32)

    def _unusable(self, reason: str) -> UnusableVectorError | ModelUnavailableError:
        """The error for a batch with a vector that has no direction: the server's fault if it has none for any text."""
        if _are_usable(_lengths(self._request([PLAIN_TEXT]))):
            return UnusableVectorError(STAGE, self.name, reason)
        return self._failure(f"its server sends unusable vectors: {reason}")

    def _encoding(self, text: TextInput, prefix: str) -> RemoteEncoding:
        if isinstance(text, str):
            return remote_encoding((prefix + text)[: SAFE_CHARS_PER_TOKEN * self.max_tokens])
        if not self._config.token_ids:
            raise InvalidRequestError(f"{self.name} takes texts, not token ids", "input")
        return remote_encoding(list(text[: self.max_tokens]))

    def _embed(self, batch: Sequence[Encoding]) -> FloatArray:
        contents = [encoding.content for encoding in batch if isinstance(encoding, RemoteEncoding)]
        texts: list[TextInput] = [content for content in contents if isinstance(content, str)]
        if len(texts) in (0, len(contents)):
            return self._request(contents)
        return np.concatenate([self._request([content]) for content in contents])  # a request has one kind

    def _request(self, contents: list[TextInput]) -> FloatArray:
        self._rate.wait(min(self._config.timeout_s, current_origin().deadline.remaining_s()))
        options: dict[str, Any] = {"extra_headers": request_headers(self._config)}
        if self._config.send_dimensions:
            options["dimensions"] = self.dim
        with translated(self.name, STAGE):
            response = self._client.embeddings.create(
                model=self._config.model, input=cast(Any, contents), encoding_format="float", **options
            )
            rows = sorted(response.data, key=lambda row: row.index)
            numbers = np.array([row.embedding for row in rows])
            # Servers whose JSON has no NaN write null. Strings do not become numbers.
            vectors = numbers.astype(np.float64) if numbers.dtype == object else numbers
        self._check(vectors, [row.index for row in rows], len(contents))
        with np.errstate(over="ignore"):  # an infinity is refused later
            return vectors.astype(np.float32)

    def _check(self, vectors: NDArray[Any], places: list[int], count: int) -> None:
        """Raises ModelUnavailableError unless there is a vector of `dim` numbers for each of `count` texts."""
        if len(vectors) != count:
            raise self._failure(f"its server sent another number of vectors than {count}")
        if places != list(range(count)):
            raise self._failure(f"its server does not number its vectors from 0 to {count - 1}")
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
            raise self._failure("its server sent vectors that are not lists of numbers")
        if vectors.shape[1] != self.dim:
            where = f"catalog.embedding.{self.name}.options.dim"
            raise self._failure(f"its vectors have {vectors.shape[1]} dimensions, but {where} is {self.dim}")

    def _failure(self, reason: str) -> ModelUnavailableError:
        return ModelUnavailableError(STAGE, self.name, reason)


def _lengths(vectors: FloatArray) -> NDArray[np.float64]:
    """Of each row. In float32, the squares of very small numbers would be 0, and of large ones infinite."""
    return np.asarray(np.linalg.norm(vectors.astype(np.float64), axis=1))


def _are_usable(lengths: NDArray[np.float64]) -> bool:
    return bool((np.isfinite(lengths) & (lengths > 0)).all())
