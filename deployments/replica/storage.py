"""Where the corpus lives: one config, opened by the ingress and by each searcher replica."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.corpus import Corpus
from models.index.milvus_config import MilvusConfig
from models.index.snapshots import Snapshots


class StorageConfig(BaseModel):
    """The truth: an SQL database and a folder of uploaded files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(default=Path("data"), description="Folder of the database and the files.")
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL of the database; by default SQLite inside data_dir."
    )

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'ragserve.db'}"

    milvus: MilvusConfig | None = Field(
        default=None, description="Milvus as the index, by its URI; by default FAISS and Tantivy in the searchers."
    )

    def with_milvus(self, uri: str) -> "StorageConfig":
        """The same corpus, indexed in Milvus."""
        return self.model_copy(update={"milvus": MilvusConfig(uri=uri)})

    def snapshots(self) -> Snapshots:
        """Where searchers of this machine keep their indexes between two lives; losing it costs a slower start."""
        return Snapshots(self.data_dir.resolve() / "snapshots")

    def open(self) -> Corpus:
        """The corpus, its schema made if it is new. Raises ConfigError."""
        return Corpus.open(self.url, self.data_dir.resolve() / "files")
