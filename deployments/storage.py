"""Where the corpus lives: one config, opened by the ingress and by each searcher replica."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.corpus import Corpus


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

    def open(self) -> Corpus:
        """The corpus, its schema made if it is new. Raises ConfigError."""
        return Corpus.open(self.url, self.data_dir.resolve() / "files")
