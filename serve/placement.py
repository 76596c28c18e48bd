"""Which stages are deployments of their own, and which live inside the ingress."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from deployments.dense_searcher import DenseSearcherConfig
from deployments.embedder import EmbedderConfig
from deployments.generator import GeneratorConfig
from deployments.lexical_searcher import LexicalSearcherConfig
from deployments.reranker import RerankerConfig


class InlineConfig(BaseModel):
    """Stages inside the ingress, by the deployment's name, each with its user_config; `{}` takes its defaults.

    The fields are the deployments' own names. An inline stage has no entry under `deployments`. Parser is not among
    them: it meets hostile files, and may have to be killed for it.
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
