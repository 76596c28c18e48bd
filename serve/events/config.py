"""Settings of events. They are off until a sink is configured."""

import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

DAY_S = 86_400.0
SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


class WebhookConfig(BaseModel):
    """A signed webhook. Only this file names its address: no request can."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(max_length=2048, description="Address that gets each event as a POST, https:// or http://.")
    secret: SecretStr | None = Field(
        default=None,
        description="whsec_ and base64, from the environment variable RAGSERVE_WEBHOOK_SECRET; several with spaces.",
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            is_valid = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_valid = False
        if not is_valid or not url.isprintable() or " " in url:
            raise ValueError("must be an address like https://example.org/hooks")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("must not have a user name, a password or a fragment")
        return url


class KafkaConfig(BaseModel):
    """A topic of Kafka. Events of one vector store have one key, so they are in one partition, in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: str = Field(max_length=2048, description="Brokers to ask first: host:port, with commas between.")
    topic: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,249}$", description="Topic that gets each event; the brokers must have or make it."
    )
    security: Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"] = Field(
        default="plaintext", description="Protocol: encrypted by TLS or not, with a user by SASL or not."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How the user is proved, with sasl_plaintext or sasl_tls."
    )
    username: str | None = Field(default=None, min_length=1, max_length=256, description="User, for SASL.")
    password: SecretStr | None = Field(
        default=None, description="Password, from the environment variable RAGSERVE_KAFKA_PASSWORD."
    )
    ca_file: Path | None = Field(default=None, description="Certificate of the brokers' authority; None: the system's.")

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_addresses(cls, servers: str) -> str:
        for server in servers.split(","):
            match = SERVER.fullmatch(server.strip())
            if match is None or not 1 <= int(match[2]) <= 65_535:
                raise ValueError("must be addresses like broker-1:9092,broker-2:9092")
        return servers

    @model_validator(mode="after")
    def _has_user(self) -> Self:
        if self.has_user != (self.username is not None):
            raise ValueError("set username with sasl_plaintext and sasl_tls, and only with these")
        return self

    @property
    def has_user(self) -> bool:
        return self.security in ("sasl_plaintext", "sasl_tls")


class EventsConfig(BaseModel):
    """Who gets events about documents, how they are retried, and when they are given up. Without a sink: no events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook: WebhookConfig | None = Field(default=None, description="A webhook that gets every event.")
    kafka: KafkaConfig | None = Field(default=None, description="A topic of Kafka that gets every event.")
    concurrency: int = Field(default=8, ge=1, le=64, description="Deliveries to one sink at once.")
    timeout_s: float = Field(default=10.0, gt=0, le=30, description="Time for one delivery, in seconds.")
    poll_s: float = Field(default=1.0, gt=0, le=60, description="Seconds between two looks at an empty outbox.")
    lease_s: float = Field(
        default=60.0,
        ge=60,
        le=3600,
        description="Another replica delivers if this one has not renewed its lease within this time, in seconds.",
    )
    retry_s: float = Field(
        default=2.0,
        gt=0,
        le=600,
        description="Pause after a failed delivery, in seconds; it doubles with each failure of the event.",
    )
    max_retry_s: float = Field(
        default=600.0, gt=0, le=DAY_S, description="Longest pause between two deliveries of an event, in seconds."
    )
    max_age_s: float = Field(
        default=3 * DAY_S, ge=60, le=90 * DAY_S, description="Age at which an undelivered event is dropped, in seconds."
    )
    max_events: int = Field(
        default=100_000, ge=100, le=10_000_000, description="Most waiting events of a sink; the oldest are dropped."
    )
