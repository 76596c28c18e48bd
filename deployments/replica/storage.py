"""The corpus's storage: one config, opened by the ingress and by each searcher replica."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.corpus import Corpus
from models.index.milvus_config import MilvusConfig
from models.index.snapshots import Snapshots


class StorageConfig(BaseModel):
    """The SQL database and the folder of uploaded files, which hold the truth."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(default=Path("data"), description="Folder of the database and the files.")
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL of the database. None: SQLite in data_dir."
    )

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'ragserve.db'}"

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
        return Corpus.open(self.url, self.data_dir.resolve() / "files")
