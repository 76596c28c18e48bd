"""Where Milvus is and how it is used: Milvus Lite, a server and a cluster differ in the URI alone."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class MilvusConfig(BaseModel):
    """Milvus as the index of every vector store."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(description="http(s)://host:19530 of a server or cluster; a path ending in .db is Milvus Lite.")
    token: SecretStr | None = Field(default=None, description="`user:password` or an API key.")
    database: str = Field(default="default", description="Milvus' database, which must exist.")
    prefix: str = Field(
        default="ragserve",
        pattern="^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        description="Of the collections' names; one a corpus, as chunk keys of two corpora are the same numbers.",
    )
    consistency: Literal["Strong", "Bounded", "Session"] = Field(
        default="Strong",
        description="Strong: a search sees every change before it. The others may miss what came in the last seconds.",
    )
    index: Literal["FLAT", "HNSW", "AUTOINDEX"] = Field(default="FLAT", description="The dense index; FLAT is exact.")
    hnsw_m: int = Field(default=16, ge=2, le=2048, description="HNSW: links of a node.")
    hnsw_ef_construction: int = Field(default=200, ge=8, description="HNSW: candidates while building.")
    hnsw_ef: int = Field(default=128, ge=1, description="HNSW: candidates of a search; at least k are taken.")
    num_partitions: int = Field(default=64, ge=1, le=1024, description="Partitions that tenants are spread over.")
    timeout_s: float = Field(default=10.0, gt=0, description="Of one call; below a third of lease_s.")
    lease_s: float = Field(default=30.0, gt=0, description="How long a searcher that died keeps a store from others.")
    catch_up_timeout_s: float = Field(default=20.0, gt=0, description="How long a search waits for a store's changes.")

    @property
    def is_lite(self) -> bool:
        return self.uri.endswith(".db")
