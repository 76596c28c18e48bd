"""Kinds of model, by task: where their config and class live. Imported on first use: torch stays out until then."""

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

Task = Literal["embedding", "reranking", "generation"]


@dataclass(frozen=True)
class Kind:
    """`module` holds both the config class, which is cheap to import, and the model class, which loads weights."""

    module: str
    config: str
    model: str

    def config_class(self) -> type[BaseModel]:
        return getattr(importlib.import_module(self.module), self.config)

    def build(self, name: str, config: BaseModel) -> Any:
        """The model itself, its weights loaded unless it has a `start`. Raises ModelLoadError."""
        return getattr(importlib.import_module(self.module), self.model)(name, config)


KINDS: dict[Task, dict[str, Kind]] = {
    "embedding": {
        "sentence_transformers": Kind(
            "models.embedding.sentence_transformers_model", "SentenceTransformersConfig", "SentenceTransformersModel"
        ),
        "vllm": Kind("models.embedding.vllm_model", "VllmEmbeddingConfig", "VllmEmbeddingModel"),
        "hashing": Kind("models.embedding.hashing_model", "HashingConfig", "HashingModel"),
    },
    "reranking": {
        "late_interaction": Kind("models.reranking.late_interaction", "LateInteractionConfig", "LateInteractionModel"),
        "cross_encoder": Kind("models.reranking.cross_encoder", "CrossEncoderConfig", "CrossEncoderModel"),
        "vllm": Kind("models.reranking.vllm_model", "VllmRerankingConfig", "VllmRerankingModel"),
    },
    "generation": {
        "extractive": Kind("models.generation.extractive", "ExtractiveConfig", "ExtractiveModel"),
        "vllm": Kind("models.generation.vllm_model", "VllmConfig", "VllmModel"),
    },
}
