"""Changes to a vector store, and how its options of ingestion are stored."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Row

from models.corpus.chunking import Chunking
from models.enrichment.options import NO_ENRICHMENT, Enrichment, IngestOptions, Kind


class _Unchanged(Enum):
    UNCHANGED = "unchanged"


UNCHANGED = _Unchanged.UNCHANGED


@dataclass(frozen=True)
class VectorStoreChanges:
    """New values for a store. None for `expires_after_days` means that it never expires.

    Another `enrichment`, or other kinds of `masked` personal data, ingest the store's files again.
    """

    name: str | _Unchanged = UNCHANGED
    metadata: dict[str, str] | _Unchanged = UNCHANGED
    expires_after_days: int | _Unchanged | None = UNCHANGED
    chunking: Chunking | _Unchanged | None = UNCHANGED
    enrichment: Enrichment | _Unchanged = UNCHANGED
    masked: tuple[Kind, ...] | _Unchanged = UNCHANGED

    def to_row(self) -> dict[str, Any]:
        """The columns that change."""
        row = {key: value for key, value in vars(self).items() if value is not UNCHANGED}
        if isinstance(self.chunking, Chunking):
            row["chunking"] = self.chunking.to_json()
        if isinstance(self.enrichment, Enrichment):
            row["enrichment"] = enrichment_columns(self.enrichment, ())["enrichment"]
        if "masked" in row:
            row["masked_kinds"] = list(row.pop("masked")) or None
        return row


def enrichment_columns(enrichment: Enrichment, masked: tuple[Kind, ...]) -> dict[str, Any]:
    """The columns of a store's options; None for a store that asks for nothing."""
    derived = None if enrichment == NO_ENRICHMENT else enrichment.to_json()
    return {"enrichment": derived, "masked_kinds": list(masked) or None}


def to_options(row: Row[Any]) -> IngestOptions:
    """The options in a row with those columns."""
    return IngestOptions(Enrichment.from_json(row.enrichment), tuple(row.masked_kinds or ()))
