"""The settings of Milvus. Milvus Lite, a server and a cluster differ only in the URI."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from models.breaker import BreakerConfig


class MilvusConfig(BaseModel):
    """Milvus as the index of all vector stores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(
        pattern=r"^(https?|tcp|unix)://.|^[^\x00]+\.db$",
        description="http(s)://host:19530 of a server or cluster, or a path ending in .db for Milvus Lite.",
    )
    token: SecretStr | None = Field(default=None, description="`user:password` or an API key.")
    database: str = Field(default="default", description="Database in Milvus. It must exist.")
    prefix: str = Field(
        default="ragserve",
        pattern="^[A-Za-z_][A-Za-z0-9_]{0,63}$",
        description="Prefix of collection names. Each corpus needs its own, as two corpora use the same chunk keys.",
    )
    consistency: Literal["Strong", "Bounded", "Session"] = Field(
        default="Strong",
        description="Strong: a search sees every earlier change. The others may miss changes of the last seconds.",
    )
    index: Literal["FLAT", "HNSW", "AUTOINDEX"] = Field(default="FLAT", description="Dense index. FLAT is exact.")
    hnsw_m: int = Field(default=16, ge=2, le=2048, description="HNSW: links per node.")
    hnsw_ef_construction: int = Field(default=200, ge=8, description="HNSW: candidates per insertion.")
    hnsw_ef: int = Field(default=128, ge=1, description="HNSW: candidates per search; at least k.")
    num_partitions: int = Field(
        default=64, ge=1, le=1024, description="Number of partitions that tenants are distributed over."
    )
    timeout_s: float = Field(default=10.0, gt=0, description="Limit of one call. Must stay below a third of lease_s.")
    lease_s: float = Field(
        default=30.0, gt=0, description="How long the lease of a dead searcher blocks a store for others."
    )
    catch_up_timeout_s: float = Field(
        default=20.0, gt=0, description="How long a search waits for a store's changes in Milvus."
    )
    breaker: BreakerConfig = Field(
        default=BreakerConfig(failures=1, open_s=2.0),
        description="Only calls that took half a second or more count as failures.",
    )

    @property
    def is_lite(self) -> bool:
        return self.uri.endswith(".db")
