"""The options of a bulk run."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class TextFormat(StrEnum):
    """How the text of a row is read: as plain text, Markdown or HTML."""

    TXT = "txt"
    MD = "md"
    HTML = "html"


class RowOptions(BaseModel):
    """How a row of JSONL or Parquet becomes a document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text_column: str | None = Field(
        default=None, min_length=1, description="Column of the text. None: `text`, and JSONL in folders is no table."
    )
    id_column: str | None = Field(
        default=None, min_length=1, description="Column that names the row. None: its number in the file, from 1."
    )
    attribute_columns: tuple[str, ...] | None = Field(
        default=None, max_length=16, description="Columns that become attributes. None: all others that can."
    )
    text_format: TextFormat = Field(default=TextFormat.TXT, description="How the text is read.")

    @property
    def text_name(self) -> str:
        return self.text_column or "text"


class BulkLimits(BaseModel):
    """How much a bulk run does at once: what bounds its memory, and its load on the service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uploads: int = Field(default=8, ge=1, le=64, description="Uploads at once.")
    in_flight: int = Field(
        default=512, ge=1, le=10_000, description="Most files that are uploaded and not searchable yet."
    )
    memory_mb: int = Field(
        default=256, ge=1, le=65_536, description="Memory for files under way, in MB; a larger file goes alone."
    )
    patience_s: float = Field(
        default=600.0, ge=0, le=86_400, description="How long to wait for a service that does not answer, in seconds."
    )
