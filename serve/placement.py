"""The stages that run inside the ingress instead of as deployments of their own."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from deployments.dense_searcher import DenseSearcherConfig
from deployments.embedder import EmbedderConfig
from deployments.generator import GeneratorConfig
from deployments.lexical_searcher import LexicalSearcherConfig
from deployments.reranker import RerankerConfig


class InlineConfig(BaseModel):
    """Inline stages, by deployment name, each with its user_config; `{}` means the defaults.

    An inline stage has no entry under `deployments`. Parser cannot be inline: a hostile file may force a kill of its
    process.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    Embedder: EmbedderConfig | None = None
    DenseSearcher: DenseSearcherConfig | None = None
    LexicalSearcher: LexicalSearcherConfig | None = None
    Reranker: RerankerConfig | None = None
    Generator: GeneratorConfig | None = None

    def user_configs(self) -> dict[str, dict[str, Any]]:
        """The user_config of each inline stage, by the deployment's name."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)
