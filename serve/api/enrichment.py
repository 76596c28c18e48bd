"""`enrichment` and `personal_data` of a vector store, in requests and in responses. Not in OpenAI's API."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.records import Duplicate
from models.enrichment.options import KINDS, NO_ENRICHMENT, Enrichment, Kind

Kinds = Annotated[tuple[Kind, ...], Field(min_length=1, max_length=16)]


class EnrichmentBody(BaseModel):
    """What is derived from the text of each file. Everything is off by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: bool = Field(default=False, description="Attribute auto.language: a code of ISO 639-1.")
    title: bool = Field(default=False, description="Attribute auto.title.")
    dates: bool = Field(
        default=False, description="Attributes auto.date, auto.first_date, auto.last_date and auto.dates, in ISO 8601."
    )
    keywords: bool = Field(
        default=False, description="Attribute auto.keywords, and auto.keyword.<keyword>, which is true, for each."
    )
    max_keywords: int = Field(default=8, ge=1, le=16)
    near_duplicates: bool = Field(default=False, description="Field `duplicates` of each file.")
    min_similarity: float = Field(
        default=0.8, ge=0.7, le=1, description="Jaccard similarity from which files are near-duplicates."
    )


class PersonalDataBody(BaseModel):
    """The kinds of personal data that are masked before anything is embedded or stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mask: Literal["all"] | Kinds = Field(description="`all`, or a list of kinds.")


def to_enrichment(body: EnrichmentBody | None) -> Enrichment:
    if body is None:
        return NO_ENRICHMENT
    return Enrichment(
        language=body.language,
        title=body.title,
        dates=body.dates,
        max_keywords=body.max_keywords if body.keywords else 0,
        min_similarity=body.min_similarity if body.near_duplicates else None,
    )


def to_masked(body: PersonalDataBody | None) -> tuple[Kind, ...]:
    """The kinds, each once, in the order of KINDS: equal choices are equal."""
    if body is None:
        return ()
    return KINDS if body.mask == "all" else tuple(kind for kind in KINDS if kind in body.mask)


def to_enrichment_body(enrichment: Enrichment) -> dict[str, Any] | None:
    if enrichment == NO_ENRICHMENT:
        return None
    keywords = {"max_keywords": enrichment.max_keywords} if enrichment.max_keywords else {}
    similarity = {} if enrichment.min_similarity is None else {"min_similarity": enrichment.min_similarity}
    return EnrichmentBody(
        language=enrichment.language,
        title=enrichment.title,
        dates=enrichment.dates,
        keywords=bool(keywords),
        near_duplicates=bool(similarity),
        **keywords,
        **similarity,
    ).model_dump()


def to_personal_data_body(masked: tuple[Kind, ...]) -> dict[str, Any] | None:
    return {"mask": list(masked)} if masked else None


def to_duplicates(duplicates: tuple[Duplicate, ...] | None) -> list[dict[str, Any]] | None:
    return None if duplicates is None else [dict(vars(duplicate)) for duplicate in duplicates]
