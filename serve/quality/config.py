"""Settings of watched quality. The question log and the canary are off until they are configured."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.enrichment.options import KINDS, Kind
from models.errors.configuration import ConfigError
from models.filesystem import check_url, has_protocol

DAY_S = 86_400.0
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]


class QuestionLogConfig(BaseModel):
    """Answered questions as Parquet files, for analytics and for `ragserve eval export`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.0, ge=0, le=1, description="Fraction of answered questions to log; 0: no log.")
    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Absolute folder, or URL such as s3://bucket/folder. None: question_log in storage.data_dir.",
    )
    answers: bool = Field(default=False, description="Log the text of the answer too.")
    mask: tuple[Kind, ...] = Field(default=KINDS, description="Kinds of personal data that are masked in the texts.")
    keep_s: float = Field(
        default=30 * DAY_S, ge=DAY_S, le=3650 * DAY_S, description="Seconds after which a day's files are deleted."
    )
    flush_s: float = Field(
        default=60.0, ge=0.1, le=3600, description="Seconds between two files; a killed process loses what it holds."
    )

    @field_validator("url")
    @classmethod
    def _is_plain(cls, url: str | None) -> str | None:
        if url is not None and not has_protocol(url) and not Path(url).is_absolute():
            raise ValueError("must be an absolute folder, or a URL such as s3://bucket/folder")
        try:
            if url is not None:
                check_url("url", url)
        except ConfigError as error:
            raise ValueError(error.message) from None
        return url


class DriftConfig(BaseModel):
    """The comparison of the latest scores with earlier ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Name = Field(
        default="first", description="Name of the reference. A new name starts a new one, with the next scores."
    )
    reference_size: int = Field(default=500, ge=50, le=10_000, description="Scored answers of the reference.")
    window: int = Field(default=200, ge=50, le=10_000, description="Latest scored answers that are compared with it.")


class ScoringConfig(BaseModel):
    """Answers that are scored in the background."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.1, ge=0, le=1, description="Fraction of answers to score; 0: none.")
    drift: DriftConfig = DriftConfig()


class CanaryConfig(BaseModel):
    """A document that is ingested, found and deleted in each ingress replica, to see that it works."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_s: float | None = Field(
        default=None, ge=5, le=86_400, description="Seconds between two runs, such as 300; None: no canary."
    )
    timeout_s: float = Field(default=60.0, ge=1, le=3600, description="Time for one run, in seconds; then it failed.")


class QualityConfig(BaseModel):
    """How the quality of answers is watched. All of it changes while the application serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log: QuestionLogConfig = QuestionLogConfig()
    scoring: ScoringConfig = ScoringConfig()
    canary: CanaryConfig = CanaryConfig()
