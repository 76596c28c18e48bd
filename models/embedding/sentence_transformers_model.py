"""Embedding with sentence-transformers: any encoder it loads, on the CPU or a GPU."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.embedding.base import TokenEmbedding
from models.embedding.transformer import (
    TransformerConfig,
    calling_threads,
    encoder_tokenizer,
    load_sentence_transformer,
    padded_features,
    runs_on,
)
from models.errors.model_failures import ModelLoadError
from models.source import resolve_source, revision_of
from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray, HalfArray, unit_rows

if TYPE_CHECKING:
    import torch


class SentenceTransformersConfig(TransformerConfig):
    """An entry of kind `sentence_transformers`."""

    dim: int = Field(ge=1, le=65_536, description="Dimensions of a vector; the weights must agree.")
    matryoshka_dims: tuple[int, ...] = Field(
        default=(), description="Shorter vector lengths that the model was trained for."
    )
    max_tokens: int = Field(
        ge=8, le=131_072, description="Most tokens of a text, special tokens included; the model ignores what follows."
    )
    query_prefix: str = Field(default="", description='Text before each query, such as "query: " for E5.')
    document_prefix: str = Field(default="", description='Text before each document, such as "passage: " for E5.')

    @property
    def dims(self) -> tuple[int, ...]:
        return (*sorted(dim for dim in self.matryoshka_dims if dim < self.dim), self.dim)


class SentenceTransformersModel:
    """A TokenEmbeddingModel. Pooling and normalisation are the modules of the checkpoint."""

    config_class = SentenceTransformersConfig
    has_token_vectors = True

    def __init__(self, name: str, config: SentenceTransformersConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name, self.dim, self.dims, self.max_tokens = name, config.dim, config.dims, config.max_tokens
        self._config = config
        self._model = load_sentence_transformer(name, config, config.max_tokens)
        self.runs_on, self.passes_at_once = runs_on(config), calling_threads(config)
        self._tokenizer = encoder_tokenizer(name, self._model.tokenizer, config.max_tokens)
        self.generation = f"{name}@{revision_of(resolve_source(name, config))}"
        dim = self._model.get_embedding_dimension()
        if dim != config.dim:
            raise ModelLoadError(name, f"its vectors have {dim} dimensions, but dim in the catalog is {config.dim}")

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self._tokenizer.encode(texts, self._config.query_prefix)

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self._tokenizer.encode(texts, self._config.document_prefix, with_starts=True)

    def query_token_spans(self, text: str) -> NDArray[np.int64]:
        return self._tokenizer.token_spans(text, self._config.query_prefix)

    def document_token_spans(self, text: str) -> NDArray[np.int64]:
        return self._tokenizer.token_spans(text, self._config.document_prefix)

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        import torch

        with torch.inference_mode():
            return _vectors(self._outputs(batch))

    def forward_tokens(self, batch: Sequence[Encoding]) -> list[TokenEmbedding]:
        import torch

        with torch.inference_mode():
            outputs = self._outputs(batch)
            vectors, tokens = _vectors(outputs), unit_token_vectors(outputs["token_embeddings"])
        return [
            TokenEmbedding(vector, self._own(rows, item), None if item.starts is None else self._own(item.starts, item))
            for vector, rows, item in zip(vectors, tokens, batch, strict=True)
        ]

    def _own(self, rows: NDArray[Any], encoding: Encoding) -> NDArray[Any]:
        """The rows of the text's own tokens. Copied, because a slice of the batch would keep the batch in memory."""
        return self._tokenizer.own(rows[: len(encoding)], encoding.num_prefix_tokens).copy()

    def _outputs(self, batch: Sequence[Encoding]) -> "Mapping[str, torch.Tensor]":
        return self._model(padded_features(batch, self._tokenizer.pad_id, self._model.device))


def unit_token_vectors(hidden: "torch.Tensor") -> HalfArray:
    """Hidden states (..., dim) of a transformer as unit vectors in float16 on the CPU."""
    import torch

    return torch.nn.functional.normalize(hidden.float(), dim=-1).half().cpu().numpy()


def _vectors(outputs: "Mapping[str, torch.Tensor]") -> FloatArray:
    return unit_rows(outputs["sentence_embedding"].float().cpu().numpy())
