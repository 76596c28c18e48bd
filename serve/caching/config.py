"""Settings of the caches."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

LevelName = Literal["answers", "retrieval", "embeddings", "stale"]
LEVELS: tuple[LevelName, ...] = ("answers", "retrieval", "embeddings", "stale")
MIB = 1024**2
HOUR_S = 3600.0


class LevelConfig(BaseModel):
    """One cache. Every setting of an ingress replica's memory is its own; Redis is shared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Use this cache.")
    max_mb: int = Field(
        default=32, ge=1, le=65_536, description="Most memory in one ingress replica, in MiB; the oldest entries go."
    )
    ttl_s: float = Field(
        default=HOUR_S, ge=1, le=30 * 24 * HOUR_S, description="Time until an entry is dropped, in seconds."
    )


class CacheConfig(BaseModel):
    """The caches, in process and on Redis."""

    # The URL may hold a password, and pydantic's messages show the input.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    answers: LevelConfig = Field(default=LevelConfig(), description="Whole answers.")
    retrieval: LevelConfig = Field(default=LevelConfig(), description="Ranked passages.")
    embeddings: LevelConfig = Field(default=LevelConfig(ttl_s=24 * HOUR_S), description="Vectors of questions.")
    stale: LevelConfig = Field(
        default=LevelConfig(enabled=False, max_mb=16),
        description="Earlier results for when a stage is down, marked with their age, which is at most ttl_s.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis behind the memory, as redis://, rediss:// or unix://; it may hold a password. None: memory "
        "alone. The environment variable RAGSERVE_REDIS_URL sets it too.",
    )

    redis_timeout_s: float = Field(
        default=0.05,
        ge=0.001,
        le=10,
        description="Time of one call, in seconds. The first one that is late costs it; then Redis is left alone until "
        "it answers a PING.",
    )

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_redis_url(url.get_secret_value()):
            raise ValueError("must be a URL such as redis://host:6379/0, rediss://host:6379/0 or unix:///path")
        return url

    def level(self, name: LevelName) -> LevelConfig:
        """The settings of one cache."""
        config: LevelConfig = getattr(self, name)
        return config


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018, raises ValueError for an invalid port
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    database = parts.path.strip("/")
    return parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (not database or database.isdecimal())
