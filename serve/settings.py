"""Everything under `args:` of serve_config.yaml: what the application is built with, and restarts for."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from deployments.storage import StorageConfig
from serve.pipelines.ingest import IngestConfig
from serve.pipelines.query import QueryConfig


class ApiConfig(BaseModel):
    """Bounds of what the HTTP API takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_upload_bytes: int = Field(default=64 * 1024**2, ge=1024, le=512 * 1024**2, description="Size of one file.")
    max_query_chars: int = Field(default=8_000, ge=16, le=100_000, description="Length of one question.")


class Settings(BaseModel):
    """The sum of the components' own configs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    storage: StorageConfig = StorageConfig()
    catalog: Path | None = Field(default=None, description="A YAML file of models, added to models/catalog.yaml.")
    query: QueryConfig = QueryConfig()
    ingest: IngestConfig = IngestConfig()
    api: ApiConfig = ApiConfig()
