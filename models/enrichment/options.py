"""What a vector store asks for besides chunks: derived attributes, near-duplicates, masked personal data."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

# Of personal data. Each has its own mask: [EMAIL], [NATIONAL_ID].
Kind = Literal["email", "phone", "card", "iban", "national_id", "ip_address"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Enrichment:
    """What is derived from each file's text, and kept as attributes that filters can use.

    `max_keywords` 0: none. `min_similarity` None: near-duplicates are not looked for.
    """

    language: bool = False
    title: bool = False
    dates: bool = False
    max_keywords: int = 0
    min_similarity: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The form that the database stores."""
        return dict(vars(self))

    @staticmethod
    def from_json(stored: dict[str, Any] | None) -> "Enrichment":
        return NO_ENRICHMENT if stored is None else Enrichment(**stored)


NO_ENRICHMENT = Enrichment()


@dataclass(frozen=True)
class IngestOptions:
    """How the files of a vector store are ingested, besides their chunking. `masked`: the kinds of personal data."""

    enrichment: Enrichment = NO_ENRICHMENT
    masked: tuple[Kind, ...] = ()


PLAIN = IngestOptions()
