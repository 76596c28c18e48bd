"""Embedding with sentence-transformers: any encoder it loads, on the CPU or a GPU."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from models.embedding.transformer import (
    TransformerConfig,
    encoder_tokenizer,
    load_sentence_transformer,
    padded_features,
)
from models.errors import ModelLoadError
from models.source import resolve_source, revision_of
from models.tokens.encoding import Encoding, TextInput
from models.types import FloatArray


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
    """An EmbeddingModel. Pooling and normalisation are the modules of the checkpoint."""

    config_class = SentenceTransformersConfig

    def __init__(self, name: str, config: SentenceTransformersConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name, self.dim, self.dims, self.max_tokens = name, config.dim, config.dims, config.max_tokens
        self._config = config
        self._model = load_sentence_transformer(name, config, config.max_tokens)
        self._tokenizer = encoder_tokenizer(name, self._model.tokenizer, config.max_tokens)
        self.generation = f"{name}@{revision_of(resolve_source(name, config))}"
        dim = self._model.get_embedding_dimension()
        if dim != config.dim:
            raise ModelLoadError(name, f"its vectors have {dim} dimensions, but dim in the catalog is {config.dim}")

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self._tokenizer.encode(texts, self._config.query_prefix)

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self._tokenizer.encode(texts, self._config.document_prefix)

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        import torch

        with torch.inference_mode():
            features = padded_features(batch, self._tokenizer.pad_id, self._model.device)
            vectors = self._model(features)["sentence_embedding"]
            return unit_rows(vectors.float().cpu().numpy())


def unit_rows(vectors: FloatArray) -> FloatArray:
    """`vectors` (n, dim) with each row divided by its length; a row of zeros stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
