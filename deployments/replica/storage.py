"""The corpus's storage: one config, opened by the ingress and by each searcher replica."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from deployments.telemetry.metrics.stages import breaker_counter
from models.corpus.corpus import Corpus
from models.corpus.database import check_database_url
from models.corpus.database_config import DatabaseConfig
from models.corpus.remote_blobs import SETTING
from models.errors.configuration import ConfigError
from models.filesystem import check_url, has_protocol, protocol_of
from models.index.milvus_config import MilvusConfig
from models.index.snapshots import Snapshots

SQLITE = "sqlite:///"


class StorageConfig(BaseModel):
    """The SQL database and the uploaded files, which hold the truth."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(default=Path("data"), description="Folder of the database and the files.")
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL of the database. None: SQLite in data_dir."
    )

    database: DatabaseConfig = Field(default=DatabaseConfig(), description="How long a call to the database may take.")
    blobs_url: str | None = Field(
        default=None,
        max_length=1024,
        description="URL of uploaded files, such as s3://bucket/folder; credentials come from the environment. "
        "None: in data_dir.",
    )

    keep_file_versions: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Earlier versions of each file that are kept for going back, with their bytes. 0: none.",
    )

    @field_validator("data_dir", mode="before")
    @classmethod
    def _names_a_folder(cls, folder: Any) -> Any:
        if isinstance(folder, str) and (not folder.strip() or not folder.isprintable()):
            raise ValueError("must be the path of a folder")
        return folder

    @field_validator("database_url")
    @classmethod
    def _has_driver(cls, url: str | None) -> str | None:
        try:
            if url is not None:
                check_database_url(url)
        except ConfigError as error:
            raise ValueError(error.message) from None
        return url

    @field_validator("blobs_url")
    @classmethod
    def _is_durable(cls, url: str | None) -> str | None:
        if url is None:
            return url
        if not has_protocol(url):
            raise ValueError("must be a URL such as s3://bucket/folder")
        if protocol_of(url) == "memory":
            raise ValueError("memory:// loses every file when the process ends")
        try:
            check_url(SETTING, url)
        except ConfigError as error:
            raise ValueError(error.message) from None
        return url

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'ragserve.db'}"

    @property
    def lacks_its_file(self) -> bool:
        """Whether it is SQLite without its file: opening it would make an empty one, also at a wrong path."""
        return self.url.startswith(SQLITE) and not Path(self.url.removeprefix(SQLITE)).exists()

    milvus: MilvusConfig | None = Field(
        default=None, description="Use Milvus as the index. None: FAISS and Tantivy in the searchers."
    )

    def with_milvus(self, uri: str) -> "StorageConfig":
        """The same corpus, indexed in Milvus."""
        return self.model_copy(update={"milvus": MilvusConfig(uri=uri)})

    def snapshots(self) -> Snapshots:
        """The folder of the searchers' saved indexes. Losing it costs a slower start, nothing else."""
        return Snapshots(self.data_dir.resolve() / "snapshots")

    @property
    def token_folder(self) -> Path:
        """The folder of the dense searchers' token vectors. Losing it costs a slower start, nothing else."""
        return self.data_dir.resolve() / "tokens"

    def open(self) -> Corpus:
        """Open the corpus, and create its schema if it is new. Raises ConfigError."""
        return Corpus.open(
            self.url,
            self.blob_root,
            config=self.database,
            keep_file_versions=self.keep_file_versions,
            on_change=breaker_counter("database"),
        )

    @property
    def blob_root(self) -> str | Path:
        """The folder of the uploaded files, or their URL."""
        return self.blobs_url or self.data_dir.resolve() / "files"
