"""Citations, passages and the trace of an answer as JSON, the same for every API shape."""

from typing import Any

from pydantic import BaseModel, Field

from models.generation.citations import Citation
from models.types import Passage
from serve.pipelines.answering import Answered


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
    cited: bool = Field(description="Whether the answer cites the passage.")


def evidence(event: Answered) -> dict[str, Any]:
    """The fields that every answer has: its citations, what they are worth, and how it was made."""
    cited_keys = {citation.passage.key for citation in event.citations}
    return {
        "citations": [to_citation(citation) for citation in event.citations],
        "passages": [to_passage(passage, passage.key in cited_keys) for passage in event.passages],
        "evidence": None if event.evidence is None else round(event.evidence, 4),
        "answerable": event.answerable,
        "search_query": event.search_query,
        "timings": {stage: round(seconds, 6) for stage, seconds in event.trace.timings_s.items()},
        "models": event.trace.models,
        "degraded": event.trace.degraded,
        "cached": event.trace.cached,
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
    )


def to_passage(passage: Passage, cited: bool) -> PassageBody:
    fields = PassageBody.model_fields.keys() - {"cited"}
    return PassageBody(**{name: getattr(passage, name) for name in fields}, cited=cited)
