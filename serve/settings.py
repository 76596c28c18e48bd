"""The settings of the application: `args` of serve_config.yaml, and the part of them that changes while it serves.

A changed value under `args` restarts every replica. A changed value in Ingress's `user_config` restarts nothing: Ray
Serve hands it to each ingress replica, and requests that begin after that use it.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from deployments.calls.coalescer import CoalescingConfig
from deployments.calls.stage_breaker import StageBreakerConfig
from deployments.replica.storage import StorageConfig
from deployments.replica.user_config import StageConfig, parse_user_config
from deployments.telemetry.otlp import TracingConfig
from models.corpus.views import Shard
from models.types.scope import DEFAULT_TENANT
from serve.access.keys import TENANT
from serve.access.limits import LimitsConfig
from serve.access.oidc import OidcConfig
from serve.admission import AdmissionConfig
from serve.backups.config import BackupsConfig
from serve.caching.config import CacheConfig
from serve.conversations.config import MemoryConfig
from serve.events.config import EventsConfig
from serve.pipelines.answering import Extra
from serve.pipelines.equal_vectors import EmbedFallbackConfig
from serve.pipelines.housekeeping import HousekeepingConfig
from serve.pipelines.ingest import IngestConfig, IngestLimits
from serve.pipelines.metering import CostConfig
from serve.pipelines.migrate import MigrationConfig
from serve.pipelines.query import QueryConfig
from serve.pipelines.retrieve import RetrievalConfig
from serve.pipelines.slow_questions import LogConfig
from serve.placement import InlineConfig
from serve.quality.config import QualityConfig

C = TypeVar("C", bound=BaseModel)


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s*A-Z]{1,253})$")]
HostName = Annotated[str, StringConstraints(pattern=r"^[^/\s*@A-Z]{1,253}$")]  # an IPv6 address without brackets
MAX_MODEL_ALIASES = 256


class ApiLimits(BaseModel):
    """Limits of one HTTP request, and what clients may send. They may change while the application serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_upload_bytes: int = Field(
        default=64 * 1024**2, ge=1024, le=512 * 1024**2, description="Largest uploaded file, in bytes."
    )
    max_json_bytes: int = Field(
        default=12 * 1024**2, ge=1024, le=64 * 1024**2, description="Largest body of JSON, in bytes: 6 a character."
    )
    body_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Time for a request's body to arrive, in seconds; a second more for each 16 KiB of it.",
    )
    max_query_chars: int = Field(default=8_000, ge=16, le=100_000, description="Longest question, in characters.")
    max_texts_chars: int = Field(
        default=2_000_000,
        ge=1_000,
        le=50_000_000,
        description="Most characters in all texts of one embedding or rerank request; a token id counts as four.",
    )
    max_rerank_texts: int = Field(default=1_000, ge=1, le=10_000, description="Most texts in one rerank request.")
    embed_s: float = Field(default=60.0, gt=0, le=3600, description="Time for one embedding request, in seconds.")
    rerank_s: float = Field(default=60.0, gt=0, le=3600, description="Time for one rerank request, in seconds.")
    model_aliases: dict[ModelName, ModelName] = Field(
        default_factory=dict,
        max_length=MAX_MODEL_ALIASES,
        description="Names that clients send as `model`, each with the served name that it stands for, such as "
        "{gpt-4o: ragserve}. `*` at the end stands for any end: {gpt-*: ragserve}.",
    )
    extra: Extra = Field(
        default="refuse",
        description="`extra` of a chat, completion or message that does not send it: refuse or ignore what the model "
        "cannot follow.",
    )
    allowed_origins: tuple[Origin, ...] = Field(
        default=(),
        max_length=64,
        description="Origins of web pages that may change something here, such as https://app.example.org, beside the "
        "service's own page; * allows all. Programs send none.",
    )
    allowed_hosts: tuple[HostName, ...] = Field(
        default=(),
        max_length=64,
        description="Names and addresses, without port, by which the service may be called; none: any. `ragserve up` "
        "sets those of this machine if it listens there and there are no keys.",
    )
    public_url: str | None = Field(
        default=None,
        max_length=1024,
        pattern=r"^https?://[^\s?#]+$",
        description="The service's address in URLs of answers, such as https://ask.example.com. None: the request's "
        "host if allowed_hosts has it; else URLs are relative.",
    )
    max_background_responses: int = Field(
        default=16, ge=0, le=1024, description="Responses that one ingress writes in the background at a time."
    )


class ApiConfig(ApiLimits):
    """The HTTP API: its limits, and its callers."""

    access: Literal["open", "keys"] | None = Field(
        default=None,
        description="open: every caller is the default tenant with all rights, which a warning says at the start. "
        "keys: a key of the database or of keys_file, or a token of oidc, is needed. None: keys with a keys_file or "
        "oidc; else open, which only a service on the loopback address may be.",
    )
    keys_file: Path | None = Field(
        default=None, description="File of API keys and their tenants, beside those of `ragserve keys`."
    )

    oidc: OidcConfig | None = Field(
        default=None, description="An OpenID Connect issuer, whose tokens are accepted beside keys."
    )
    audit_log: bool = Field(
        default=True,
        description="Record changes and denials in the database, each before it is answered, if keys are needed.",
    )
    audit_tenant: str = Field(
        default=DEFAULT_TENANT,
        pattern=f"^{TENANT.pattern}$",
        description="The tenant whose admins read of requests with an unknown key, or without one.",
    )

    @property
    def needs_keys(self) -> bool:
        """Whether a request without a key is refused."""
        return self.access == "keys" or (self.access is None and (self.keys_file or self.oidc) is not None)


class IngressConfig(StageConfig):
    """Ingress's user_config: the settings that change while it serves. A value here wins over the one in `args`."""

    retrieval: RetrievalConfig = RetrievalConfig()
    query: QueryConfig = QueryConfig()
    cache: CacheConfig = CacheConfig()
    memory: MemoryConfig = MemoryConfig()
    admission: AdmissionConfig = AdmissionConfig()
    limits: LimitsConfig = LimitsConfig()
    breaker: StageBreakerConfig = StageBreakerConfig()
    ingest: IngestLimits = IngestLimits()
    migration: MigrationConfig = MigrationConfig()
    housekeeping: HousekeepingConfig = HousekeepingConfig()
    quality: QualityConfig = QualityConfig()
    api: ApiLimits = ApiLimits()
    log: LogConfig = LogConfig()
    costs: CostConfig = CostConfig()


class SearchConfig(BaseModel):
    """The distribution of the indexes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dense_shards: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Dense search deployments, each with a part of the vectors: DenseSearcher, DenseSearcher-1…",
    )
    lexical_shards: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Keyword search deployments, each with a part of the texts: LexicalSearcher, LexicalSearcher-1…",
    )

    def dense(self) -> dict[str, Shard | None]:
        """The dense search's deployments, each with its part of the chunks; None means all chunks."""
        return _shards("DenseSearcher", self.dense_shards)

    def lexical(self) -> dict[str, Shard | None]:
        """The keyword search's deployments, each with its part of the chunks; None means all chunks."""
        return _shards("LexicalSearcher", self.lexical_shards)


def _shards(name: str, count: int) -> dict[str, Shard | None]:
    if count == 1:
        return {name: None}
    names = [name, *(f"{name}-{number}" for number in range(1, count))]
    return {each: Shard(number, count) for number, each in enumerate(names)}


DATABASE_URL, MILVUS_TOKEN = "RAGSERVE_DATABASE_URL", "RAGSERVE_MILVUS_TOKEN"
REDIS_URL, WEBHOOK_SECRET = "RAGSERVE_REDIS_URL", "RAGSERVE_WEBHOOK_SECRET"
KAFKA_PASSWORD = "RAGSERVE_KAFKA_PASSWORD"


class Settings(BaseModel):
    """The configs of all components. Secrets come from the environment, so that no file has to hold them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _add_secrets(cls, arguments: Any) -> Any:
        sections = ("storage", "cache", "events")
        if not isinstance(arguments, dict) or not all(isinstance(arguments.get(name) or {}, dict) for name in sections):
            return arguments
        storage = dict(arguments.get("storage") or {})
        if DATABASE_URL in os.environ:
            storage.setdefault("database_url", os.environ[DATABASE_URL])
        if MILVUS_TOKEN in os.environ and isinstance(storage.get("milvus"), dict):
            storage["milvus"] = {"token": os.environ[MILVUS_TOKEN]} | storage["milvus"]
        cache = dict(arguments.get("cache") or {})
        if REDIS_URL in os.environ:
            cache.setdefault("redis_url", os.environ[REDIS_URL])
        events = dict(arguments.get("events") or {})
        if WEBHOOK_SECRET in os.environ and isinstance(events.get("webhook"), dict):
            events["webhook"] = {"secret": os.environ[WEBHOOK_SECRET]} | events["webhook"]
        if KAFKA_PASSWORD in os.environ and isinstance(events.get("kafka"), dict):
            events["kafka"] = {"password": os.environ[KAFKA_PASSWORD]} | events["kafka"]
        filled = {"storage": storage, "cache": cache, "events": events}
        return arguments | {name: section for name, section in filled.items() if section}

    @model_validator(mode="after")
    def _check_placement(self) -> Self:
        if self.inline.DenseSearcher is not None and self.search.dense_shards != 1:
            raise ValueError("inline.DenseSearcher cannot be sharded: search.dense_shards must be 1")
        if self.inline.LexicalSearcher is not None and self.search.lexical_shards != 1:
            raise ValueError("inline.LexicalSearcher cannot be sharded: search.lexical_shards must be 1")
        return self

    storage: StorageConfig = StorageConfig()
    backups: BackupsConfig = BackupsConfig()
    catalog: Path | None = Field(default=None, description="YAML file of models, added to models/catalog.yaml.")
    ocr: bool = Field(
        default=True, description="Recognize the text of images and scanned pages; false refuses images at upload."
    )
    search: SearchConfig = SearchConfig()
    inline: InlineConfig = InlineConfig()
    embed_fallback: EmbedFallbackConfig = EmbedFallbackConfig()
    admission: AdmissionConfig = AdmissionConfig()
    limits: LimitsConfig = LimitsConfig()
    coalescing: CoalescingConfig = CoalescingConfig()
    breaker: StageBreakerConfig = StageBreakerConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    query: QueryConfig = QueryConfig()
    cache: CacheConfig = CacheConfig()
    memory: MemoryConfig = MemoryConfig()
    ingest: IngestConfig = IngestConfig()
    events: EventsConfig = EventsConfig()
    migration: MigrationConfig = MigrationConfig()
    housekeeping: HousekeepingConfig = HousekeepingConfig()
    quality: QualityConfig = QualityConfig()
    api: ApiConfig = ApiConfig()
    log: LogConfig = LogConfig()
    costs: CostConfig = CostConfig()
    tracing: TracingConfig = TracingConfig()

    def with_user_config(self, user_config: dict[str, Any] | None) -> "Settings":
        """These settings, overridden by Ingress's user_config key by key. Raises ConfigError that names the key."""
        changes = parse_user_config(IngressConfig, user_config or {})
        sections = {
            name: _overlaid(getattr(self, name), getattr(changes, name)) for name in sorted(changes.model_fields_set)
        }
        return self.model_copy(update=sections)


def changeable_part(arguments: dict[str, Any]) -> dict[str, Any]:
    """The keys of `args` that Ingress's user_config may hold too, section by section."""
    sections: dict[str, Any] = {}
    for name, field in IngressConfig.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        section = arguments.get(name)
        values = {key: value for key, value in section.items() if key in keys} if isinstance(section, dict) else {}
        if values:
            sections[name] = values
    return sections


def _overlaid(section: C, changes: BaseModel) -> C:
    """The section with the keys that `changes` sets; its other keys stay."""
    return type(section)(**dict(section) | {name: getattr(changes, name) for name in changes.model_fields_set})
