"""Results as bytes: JSON, so that nothing from a shared server is ever executed. Numbers come back exactly.

Encoders raise TypeError for a result that JSON cannot hold, such as a lone surrogate. Decoders raise one of
DECODING_ERRORS for bytes that are no such result.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import orjson

from models.generation.citations import Citation, Marker
from models.generation.evidence import Signals
from models.generation.structured import FieldSupport
from models.generation.support import Unsupported
from models.types.chunks import Passage
from models.types.stage_results import Embeddings
from serve.pipelines.answering import Answered, CallGenerated, Cited, Event, PassagesFound, TextGenerated
from serve.pipelines.retrieving import Retrieved
from serve.pipelines.trace import Search, SearchKind, Trace

DECODING_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError)
PASSAGE_FIELDS = tuple(field.name for field in fields(Passage))


def encode_embeddings(embeddings: Embeddings) -> bytes:
    """Every field: arrays as base64 with their dtype and shape, the others as they are."""
    values = {field.name: getattr(embeddings, field.name) for field in fields(Embeddings)}
    return orjson.dumps(
        {name: _from_array(value) if isinstance(value, np.ndarray) else value for name, value in values.items()}
    )


def decode_embeddings(payload: bytes) -> Embeddings:
    values = orjson.loads(payload)
    return Embeddings(**{name: _to_field(value) for name, value in values.items()})


def encode_retrieved(retrieved: Retrieved) -> bytes:
    return orjson.dumps(
        {
            "passages": _from_passages(retrieved.passages),
            "term_weights": retrieved.term_weights,
            "num_candidates": retrieved.num_candidates,
            "sentence_scores": [scores.tolist() for scores in retrieved.sentence_scores],
            "models": retrieved.trace.models,
            "evidence": retrieved.evidence,
            "signals": _from_signals(retrieved.signals),
        }
    )


def decode_retrieved(payload: bytes, trace: Trace) -> Retrieved:
    """The result with the caller's `trace`, which gets the models."""
    values = orjson.loads(payload)
    passages = _to_passages(values["passages"])
    scores = tuple(np.array(row, np.float32) for row in values["sentence_scores"])  # null becomes NaN
    signals, evidence = Signals(*values["signals"]), values["evidence"]
    retrieved = Retrieved(passages, values["term_weights"], trace, values["num_candidates"], scores, signals, evidence)
    trace.models.update(values["models"])
    return retrieved


def encode_events(events: Sequence[Event]) -> bytes:
    """The events of one answer, `Answered` last. Each passage is written once."""
    passages = _PassageTable()
    rows = [_from_event(event, passages) for event in events]
    return orjson.dumps({"passages": _from_passages(passages.passages), "events": rows})


def decode_events(payload: bytes) -> list[Event]:
    """The events in their order. The trace of `Answered` has the models and the searches alone."""
    values = orjson.loads(payload)
    passages = _to_passages(values["passages"])
    events = [_to_event(row, passages) for row in values["events"]]
    if not events or not isinstance(events[-1], Answered):
        raise ValueError("the answer has no end")
    return events


class _PassageTable:
    """Distinct passages in the order of their first use, and the place of each."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self._places: dict[tuple[int, float], int] = {}

    def place(self, passage: Passage) -> int:
        place = self._places.setdefault((passage.key, passage.score), len(self.passages))
        if place == len(self.passages):
            self.passages.append(passage)
        return place

    def places(self, passages: Sequence[Passage]) -> list[int]:
        return [self.place(passage) for passage in passages]


@dataclass(frozen=True)
class _Kind:
    """The names of the events in the bytes."""

    passages: str = "passages"
    text: str = "text"
    cited: str = "cited"
    answered: str = "answered"


KIND = _Kind()


def _from_event(event: Event, passages: _PassageTable) -> list[Any]:
    match event:
        case PassagesFound():
            return [KIND.passages, passages.places(event.passages), event.answerable, event.queries]
        case TextGenerated():
            return [KIND.text, event.text]
        case CallGenerated():
            raise TypeError("an answer with functions is not stored")
        case Cited():
            return [KIND.cited, _from_citation(event.citation, passages)]
        case Answered():
            citations = [_from_citation(citation, passages) for citation in event.citations]
            counts = [event.num_prompt_tokens, event.num_completion_tokens]
            markers = [[marker.citation_id, marker.start, marker.end] for marker in event.markers]
            head = [KIND.answered, event.text, citations, passages.places(event.passages), event.finish_reason]
            marked = [[each.text, each.start, each.end] for each in event.unsupported]
            searches = [[each.kind, each.text, each.filters, each.is_dropped] for each in event.trace.searches]
            ours = [event.evidence, event.answerable, event.search_query, marked]
            fields = [[each.pointer, each.citation_ids, each.is_supported] for each in event.fields]
            return [*head, counts, event.trace.models, markers, *ours, event.prompt, fields, searches]


def _to_event(row: list[Any], passages: Sequence[Passage]) -> Event:
    match row:
        case [KIND.passages, places, answerable, queries]:
            return PassagesFound(tuple(passages[place] for place in places), answerable, tuple(queries))
        case [KIND.text, text]:
            return TextGenerated(text)
        case [KIND.cited, citation]:
            return Cited(_to_citation(citation, passages))
        case [KIND.answered, text, citations, places, finish_reason, [num_prompt, num_completion], models, *ours]:
            markers, evidence, answerable, search_query, marked, prompt, fields, searches = ours
            return Answered(
                text,
                tuple(_to_citation(citation, passages) for citation in citations),
                tuple(passages[place] for place in places),
                finish_reason,
                num_prompt,
                num_completion,
                Trace(models=models, searches=[_to_search(*search) for search in searches]),
                tuple(Marker(*marker) for marker in markers),
                evidence,
                answerable,
                search_query,
                tuple(Unsupported(*each) for each in marked),
                prompt,
                tuple(FieldSupport(pointer, tuple(ids), is_supported) for pointer, ids, is_supported in fields),
            )
    raise ValueError("not an event")


def _to_search(kind: SearchKind, text: str, filters: list[Any], is_dropped: bool) -> Search:
    return Search(kind, text, tuple((key, tuple(values)) for key, values in filters), is_dropped)


def _from_citation(citation: Citation, passages: _PassageTable) -> list[Any]:
    place = passages.place(citation.passage)
    return [citation.id, place, citation.quote, citation.start, citation.end, citation.score]


def _to_citation(row: list[Any], passages: Sequence[Passage]) -> Citation:
    citation_id, place, quote, start, end, score = row
    return Citation(citation_id, passages[place], quote, start, end, score)


def _from_signals(signals: Signals) -> list[float | None]:
    measured = [None if each is None else float(each) for each in (signals.relevance, signals.cosine)]
    return [*measured, signals.num_candidates]


def _from_passages(passages: Sequence[Passage]) -> list[list[Any]]:
    return [[getattr(passage, name) for name in PASSAGE_FIELDS] for passage in passages]


def _to_passages(rows: list[list[Any]]) -> tuple[Passage, ...]:
    return tuple(Passage(*row) for row in rows)


def _from_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {"dtype": array.dtype.str, "shape": array.shape, "base64": b64encode(array.tobytes()).decode()}


def _to_field(value: Any) -> Any:
    """The array; a list as the tuple that it was; any other value as it is."""
    if isinstance(value, dict):
        array = np.frombuffer(b64decode(value["base64"]), np.dtype(value["dtype"]))
        return array.reshape(value["shape"]).copy()  # a buffer's own array is read-only
    return tuple(value) if isinstance(value, list) else value
