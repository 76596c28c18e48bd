"""Embedding with vLLM: for GPUs and models of a billion parameters or more."""

from collections.abc import Sequence

from pydantic import Field

from models.errors.model_failures import ModelLoadError
from models.source import resolve_source, revision_of
from models.tokens.encoding import Encoding, TextInput
from models.types.arrays import FloatArray
from models.vllm.pooling import VllmPooling, VllmPoolingConfig, load_pooling_tokenizer


class VllmEmbeddingConfig(VllmPoolingConfig):
    """An entry of kind `vllm`."""

    dim: int = Field(ge=1, le=65_536, description="Dimensions of a vector; the weights must agree.")
    matryoshka_dims: tuple[int, ...] = Field(
        default=(), description="Shorter vector lengths that the model was trained for."
    )
    query_prefix: str = Field(default="", description='Text before each query, such as "query: " for E5.')
    document_prefix: str = Field(default="", description='Text before each document, such as "passage: " for E5.')


class VllmEmbeddingModel:
    """An EmbeddingModel. The checkpoint defines the pooling of token vectors."""

    config_class = VllmEmbeddingConfig
    has_token_vectors = False

    def __init__(self, name: str, config: VllmEmbeddingConfig) -> None:
        """Starts the engine. Raises ModelLoadError."""
        self.name, self.dim, self.max_tokens = name, config.dim, config.max_tokens
        self.dims = (*sorted(dim for dim in config.matryoshka_dims if dim < config.dim), config.dim)
        self.generation = f"{name}@{revision_of(resolve_source(name, config))}"
        self._config = config
        self._tokenizer = load_pooling_tokenizer(name, config)
        self._pooling = VllmPooling(name, config, "embed")
        dim = self.forward(self.tokenize_queries(["warm-up"])).shape[1]
        if dim != config.dim:
            raise ModelLoadError(name, f"its vectors have {dim} dimensions, but dim in the catalog is {config.dim}")

    def tokenize_queries(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self._tokenizer.encode(texts, self._config.query_prefix)

    def tokenize_documents(self, texts: Sequence[TextInput]) -> list[Encoding]:
        return self._tokenizer.encode(texts, self._config.document_prefix)

    def forward(self, batch: Sequence[Encoding]) -> FloatArray:
        return self._pooling.run(batch, use_activation=True)

    def close(self) -> None:
        """End the engine's process now."""
        self._pooling.close()
