"""The counts that Tantivy scores with. Its bindings tell only some of them; an explained score tells the others."""

import json
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from models.index.ballast import IndexSize

if TYPE_CHECKING:
    import tantivy


def read_size(
    tantivy: ModuleType, searcher: "tantivy.Searcher", schema: "tantivy.Schema", field: str, terms: Iterable[str]
) -> IndexSize:
    """Return the size of an index from one explained score, for any of `terms` or, without a hit, another term."""
    for term in terms:
        query = tantivy.Query.term_query(schema, field, term, "freq")
        for _, address in searcher.search(query, limit=1, count=False).hits:
            return _size_in(json.loads(query.explain(searcher, address).to_json()))
    frequent = searcher.terms_with_prefix(field, "", tantivy.Query.all_query(), 1) if searcher.num_docs else []
    if frequent and frequent[0][1]:
        return read_size(tantivy, searcher, schema, field, [frequent[0][0]])
    return IndexSize(searcher.num_docs, 0)


def _size_in(explanation: dict[str, Any]) -> IndexSize:
    values = dict(_values(explanation))
    num_documents = round(values["N, total number of docs"])
    return IndexSize(num_documents, round(num_documents * values["avgdl, average length of field"]))


def _values(explanation: dict[str, Any]) -> Iterable[tuple[str, float]]:
    yield explanation["description"], explanation["value"]
    for detail in explanation.get("details", ()):
        yield from _values(detail)
