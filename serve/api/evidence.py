"""Citations, passages and the trace of an answer as JSON, the same for every API shape."""

from typing import Any

from pydantic import BaseModel, Field

from models.generation.citations import Citation
from models.location import Location
from models.types.chunks import Passage
from serve.api.understanding import to_searches
from serve.pipelines.answering import Answered

LOCATION = (
    "Where the text stands in the file, counted from 1: page, slide, row or line; with last_page and so on, the sheet "
    "of a row of a workbook, the member (path) of a file inside an archive or a mail, and a label for people. null if "
    "it is unknown."
)
LocationBody = dict[str, int | str] | None


class CitationBody(BaseModel):
    """The source of the marker `[id]` in the answer."""

    id: int = Field(description="The number in the marker.")
    file_id: str
    filename: str
    chunk_id: str
    quote: str = Field(description="The cited text.")
    start: int = Field(description="Where the quote starts in GET /v1/files/{file_id}/text, in characters.")
    end: int = Field(description="Where the quote ends, exclusive.")
    score: float
    location: LocationBody = Field(description=LOCATION)


class PassageBody(BaseModel):
    """A passage that was retrieved for the answer. Passages are sorted by score, best first."""

    file_id: str
    filename: str
    chunk_id: str
    text: str
    start: int = Field(description="Where the passage starts in GET /v1/files/{file_id}/text, in characters.")
    end: int = Field(description="Where the passage ends, exclusive.")
    score: float
    attributes: dict[str, str | bool | int | float]
    location: LocationBody = Field(description=LOCATION)
    cited: bool = Field(description="Whether the answer cites the passage.")


class UnsupportedBody(BaseModel):
    """A sentence of a language model that no passage supports, by its words and numbers."""

    text: str = Field(description="The sentence, without markers.")
    start: int | None = Field(description="Where it starts in the answer, in characters; null: it was left out.")
    end: int | None = Field(description="Where it ends, exclusive; null: it was left out.")


def evidence(event: Answered) -> dict[str, Any]:
    """The fields that every answer has: its citations, what they are worth, and how it was made."""
    cited_keys = {citation.passage.key for citation in event.citations}
    return {
        "citations": [to_citation(citation) for citation in event.citations],
        "passages": [to_passage(passage, passage.key in cited_keys) for passage in event.passages],
        "evidence": None if event.evidence is None else round(event.evidence, 4),
        "answerable": event.answerable,
        "search_query": event.search_query,
        "searches": to_searches(event.trace),
        "unsupported": [UnsupportedBody(**vars(each)) for each in event.unsupported],
        "field_citations": {field.pointer: list(field.citation_ids) for field in event.fields if field.citation_ids},
        "unsupported_fields": [field.pointer for field in event.fields if not field.is_supported],
        "prompt": event.prompt,
        "timings": {stage: round(seconds, 6) for stage, seconds in event.trace.timings_s.items()},
        "models": event.trace.models,
        "degraded": event.trace.degraded,
        "fallbacks": event.trace.fallbacks,
        "degraded_reasons": event.trace.reasons,
        "stale": event.trace.stale,
        "cached": event.trace.cached,
        "ignored": list(event.ignored),
    }


def to_citation(citation: Citation) -> CitationBody:
    passage = citation.passage
    return CitationBody(
        id=citation.id,
        file_id=passage.file_id,
        filename=passage.filename,
        chunk_id=passage.chunk_id,
        quote=citation.quote,
        start=citation.start,
        end=citation.end,
        score=citation.score,
        location=to_location(citation.location),
    )


def to_passage(passage: Passage, cited: bool) -> PassageBody:
    fields = PassageBody.model_fields.keys() - {"cited", "location"}
    values = {name: getattr(passage, name) for name in fields}
    return PassageBody(**values, cited=cited, location=to_location(passage.location))


def to_location(location: Location | None) -> LocationBody:
    return None if location is None else location.to_json()
