"""The vectors that a deployment file's embedder makes."""

from pathlib import Path

from deployments.embedder import EmbedderConfig
from models.catalog import Catalog
from models.embedding.base import EmbeddingModel
from serve.cli.driver.corpus.plan import user_config_of
from serve.cli.driver.corpus.synthetic import VectorSpace
from serve.config_file import read, settings_of


def vector_space(config: Path) -> VectorSpace:
    """Loads the model. Raises ConfigError."""
    raw = read(config)
    alias = EmbedderConfig.model_validate(user_config_of(raw, "Embedder")).model
    model: EmbeddingModel = Catalog.open(settings_of(raw).catalog).load("embedding", alias)
    return VectorSpace(model.generation, model.dim)
