"""What is done to understand a question, as requests choose it and as responses report it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from serve.pipelines.trace import Search, SearchKind, Trace
from serve.pipelines.understanding import Understanding

_DEFAULT = "null: as configured in query.understanding."


class SearchUnderstanding(BaseModel):
    """Further searches for a query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    multi_query: bool | None = Field(default=None, description=f"Search other wordings too. {_DEFAULT}")
    hyde: bool | None = Field(default=None, description=f"Search a made-up answer too. {_DEFAULT}")
    filters: bool | None = Field(
        default=None, description=f"Search only files whose attribute value or name stands in the query. {_DEFAULT}"
    )

    def to_understanding(self) -> Understanding:
        return Understanding(**self.model_dump())


class QueryUnderstanding(SearchUnderstanding):
    """How a question is understood."""

    decomposition: bool | None = Field(default=None, description=f"Answer a compound question in parts. {_DEFAULT}")


class DrawnBody(BaseModel):
    """A filter that stands in the question: the file's attribute, or its `filename`, is one of the values."""

    key: str
    values: list[str | bool | int | float]


class SearchBody(BaseModel):
    """A search beside that of the question, or in its place."""

    kind: SearchKind = Field(
        description="part of a compound question; variant: another wording; hypothetical: a made-up passage; filtered: "
        "the question in the files that it names."
    )
    query: str = Field(description="The text that was searched.")
    filters: list[DrawnBody]
    dropped: bool = Field(description="Nothing matched the filters, so all files were searched.")


def to_searches(trace: Trace) -> list[SearchBody]:
    return [_to_body(search) for search in trace.searches]


def _to_body(search: Search) -> SearchBody:
    filters = [DrawnBody(key=key, values=list(values)) for key, values in search.filters]
    return SearchBody(kind=search.kind, query=search.text, filters=filters, dropped=search.is_dropped)


def understood(body: SearchUnderstanding | None) -> Understanding:
    return Understanding() if body is None else body.to_understanding()


def searches_json(traces: list[Trace]) -> list[dict[str, Any]]:
    return [search.model_dump() for trace in traces for search in to_searches(trace)]
