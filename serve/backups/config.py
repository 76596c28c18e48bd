"""Settings of scheduled backups. They are off until a place and an interval are set."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from models.corpus.backup.repository import SETTING
from models.corpus.backup.retention import Retention
from models.corpus.expiry import DAY_S
from models.errors.configuration import ConfigError
from models.filesystem import SEPARATOR, check_url, has_protocol, protocol_of

READ_ONLY = ("http", "https", "data")


class BackupsConfig(Retention):
    """Where backups are, when the service makes them, and how many are kept."""

    url: str | None = Field(
        default=None,
        max_length=1024,
        description="Place of the backups: an absolute folder, or a URL such as s3://bucket/folder, whose credentials "
        "come from the environment.",
    )
    every_s: float | None = Field(
        default=None,
        ge=60,
        le=31 * DAY_S,
        description="Seconds between two backups that the service makes. None: `ragserve backups create` makes them.",
    )
    max_s: float = Field(
        default=6 * 3600, ge=60, le=DAY_S, description="A backup that takes longer is ended, and counts as failed."
    )

    @field_validator("url")
    @classmethod
    def _is_durable(cls, url: str | None) -> str | None:
        if url is None:
            return url
        if not has_protocol(url):
            if not Path(url).is_absolute() or not url.isprintable():
                raise ValueError("must be an absolute folder, or a URL such as s3://bucket/folder")
            return url
        if protocol_of(url) == "memory":
            raise ValueError("memory:// loses every backup when the process ends")
        if protocol_of(url) in READ_ONLY or not url.partition(SEPARATOR)[2].strip("/"):
            raise ValueError("must be a place that can be written, such as s3://bucket/folder")
        try:
            check_url(SETTING, url)
        except ConfigError as error:
            raise ValueError(error.message) from None
        return url

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.every_s is not None and self.url is None:
            raise ValueError("every_s needs url: the place of the backups")
        return self

    @property
    def retention(self) -> Retention:
        return Retention(keep_last=self.keep_last, keep_daily=self.keep_daily, keep_weekly=self.keep_weekly)
