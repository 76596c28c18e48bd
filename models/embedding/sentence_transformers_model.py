"""Embedding with sentence-transformers: any encoder it loads, on the CPU or a GPU."""

import threading
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from models.errors import ModelLoadError
from models.source import SourceConfig, choose_device, choose_dtype, describe_attempts, resolve_source, revision_of
from models.types import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SentenceTransformersConfig(SourceConfig):
    """An entry of kind `sentence_transformers`."""

    dim: int = Field(ge=1, le=65_536, description="Dimensions of a vector; the weights must agree.")
    max_tokens: int = Field(ge=8, le=131_072, description="Tokens of a text that count, special tokens included.")
    query_prefix: str = Field(default="", description='Put before each query, such as "query: " for E5.')
    document_prefix: str = Field(default="", description='Put before each document, such as "passage: " for E5.')
    batch_size: int = Field(
        default=16, ge=1, le=1024, description="Texts of one forward pass. A CPU wants 8 to 16, a GPU 64 and more."
    )


class SentenceTransformersModel:
    """An EmbeddingModel. Calls from several threads take turns: a fast tokenizer cannot be shared."""

    def __init__(self, name: str, config: SentenceTransformersConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name, self.dim, self.max_tokens = name, config.dim, config.max_tokens
        self._config = config
        self._model = load_sentence_transformer(name, config, config.max_tokens)
        self.generation = f"{name}@{revision_of(resolve_source(name, config))}"
        self._lock = threading.Lock()
        found = self._model.get_embedding_dimension()
        if found != config.dim:
            raise ModelLoadError(name, f"its vectors have {found} dimensions, the catalog says {config.dim}")

    def embed_queries(self, texts: list[str]) -> FloatArray:
        return self._embed([self._config.query_prefix + text for text in texts])

    def embed_documents(self, texts: list[str]) -> FloatArray:
        return self._embed([self._config.document_prefix + text for text in texts])

    def _embed(self, texts: list[str]) -> FloatArray:
        if not texts:
            return np.empty((0, self.dim), np.float32)
        with self._lock:
            vectors = self._model.encode(
                texts, batch_size=self._config.batch_size, convert_to_tensor=True, show_progress_bar=False
            )
        return unit_rows(vectors.float().cpu().numpy())


def load_sentence_transformer(name: str, config: SourceConfig, max_tokens: int) -> "SentenceTransformer":
    """The loaded encoder, which cuts a text at `max_tokens`. Raises ModelLoadError."""
    from sentence_transformers import SentenceTransformer

    source = resolve_source(name, config)
    device = choose_device(config.device)
    try:
        model = SentenceTransformer(
            source.location,
            revision=None if source.is_local else source.revision,
            device=device,
            local_files_only=source.is_local,
            model_kwargs={"dtype": choose_dtype(config.dtype, device)},
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelLoadError(name, f"tried {describe_attempts(config, source)}: {error}") from error
    positions = getattr(model[0].auto_model.config, "max_position_embeddings", max_tokens)
    if max_tokens > positions:
        raise ModelLoadError(name, f"it reads at most {positions} tokens, max_tokens asks for {max_tokens}")
    model.max_seq_length = max_tokens
    return model


def unit_rows(vectors: FloatArray) -> FloatArray:
    """`vectors` (n, dim) with each row divided by its length; a row of zeros stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
