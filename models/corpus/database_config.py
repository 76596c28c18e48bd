"""How long a call to the database may take. A server that hangs gives no error by itself."""

from pydantic import BaseModel, ConfigDict, Field

from models.breaker import BreakerConfig

GRACE_S = 2.0  # for the server's own error to arrive before the client's


class DatabaseConfig(BaseModel):
    """The limits of calls to the database, in seconds. SQLite has `busy_s` and `breaker` alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect_s: int = Field(
        default=3,
        ge=2,
        le=60,
        description="Until a new connection is open, or an idle one has answered a probe. libpq allows no less than 2.",
    )
    checkout_s: float = Field(default=10.0, gt=0, le=300, description="Wait for one of the connections in use.")
    read_s: float = Field(default=30.0, ge=0.1, le=3600, description="One statement of a read.")
    write_s: float = Field(
        default=300.0, ge=0.1, le=3600, description="One statement of a write; deleting a large vector store is one."
    )
    lock_s: float = Field(default=10.0, ge=0.1, le=3600, description="Wait for a lock of another session.")
    tcp_s: int = Field(
        default=10, ge=1, le=3600, description="Until a connection whose packets are lost counts as broken."
    )
    busy_s: float = Field(
        default=30.0, ge=0.01, le=300, description="SQLite: wait for the write lock of another process."
    )
    breaker: BreakerConfig = Field(
        default=BreakerConfig(failures=2, open_s=2.0),
        description="Reads and writes have one each. Only calls that took half a second or more count as failures.",
    )
