"""Every check of one operation."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx

from serve.cli.conformance.client_types import has_type, type_problem
from serve.cli.conformance.description import Description, Operation, type_name
from serve.cli.conformance.fields import response_fields
from serve.cli.conformance.findings import Finding, Kind
from serve.cli.conformance.probes import Probe, base_body, body_probes, query_probes, request_of
from serve.cli.conformance.subject import CONTEXT, QUESTION, Subject

UNKNOWN_IDS = {
    "file_id": "file-none",
    "vector_store_id": "vs_none",
    "batch_id": "vsfb_none",
    "response_id": "resp_none",
    "conversation_id": "conv_none",
    "item_id": "msg_none",
    "model": "none",
    "completion_id": "chatcmpl-none",
}
MISSING = "the operation is missing"
ERROR = {"$ref": "#/components/schemas/ErrorResponse"}


class OperationChecks:
    """The checks of one operation, each as a Finding."""

    def __init__(self, operation: Operation, description: Description, subject: Subject) -> None:
        self._operation, self._description, self._subject = operation, description, subject

    def run(self) -> Iterator[Finding]:
        """All checks. Of an operation that the service lacks, its fields are misses too."""
        response = self._send(Probe("", base_body(self._operation, self._subject), {}))
        problem = _failure(response)
        if not problem and has_type(str(self._operation)):
            problem = type_problem(str(self._operation), response.json())
        yield self._finding("operation", "", problem)
        is_served = response.status_code == 200
        yield from self._requests(is_served)
        yield from self._responses(response if is_served else None)
        yield from self._errors(is_served)
        if self._operation.events is not None:
            yield from self._events()

    def _requests(self, is_served: bool) -> Iterator[Finding]:
        arguments = (self._description, self._operation, self._subject)
        for probe in (*query_probes(*arguments), *body_probes(*arguments)):
            yield self._finding("request", probe.field, self._request_problem(probe) if is_served else MISSING)

    def _request_problem(self, probe: Probe) -> str:
        """Why the field is refused with documents, and without them."""
        problem = _failure(self._send(probe))
        if problem and probe.plain and not _failure(self._send(replace(probe, body=probe.plain))):
            return ""
        return problem

    def _responses(self, response: httpx.Response | None) -> Iterator[Finding]:
        schema = self._operation.response
        if schema is None:
            return
        if response is None:
            for name in self._description.properties(schema):
                yield self._finding("response", name, MISSING)
            return
        content = self._content(response)
        yield self._finding("response", "(whole)", self._description.problem(schema, content))
        for path, problem in response_fields(self._description, schema, content):
            yield self._finding("response", path, problem)

    def _content(self, response: httpx.Response) -> Any:
        return response.json() if "json" in response.headers.get("content-type", "") else response.text

    def _errors(self, is_served: bool) -> Iterator[Finding]:
        """An unknown id is a 404, a body of a wrong type a 4xx that names the field; both have the error's shape."""
        ids = {name: UNKNOWN_IDS[name] for name in UNKNOWN_IDS if f"{{{name}}}" in self._operation.path}
        base = Probe("", base_body(self._operation, self._subject), {})
        if ids and is_served:
            yield self._finding("error", "404", self._error_problem(self._send(base, ids), (404,)))
        if self._operation.request is None or self._operation.is_form or not is_served:
            return
        malformed = self._subject.send("post", self._path(), content=b"{", headers={"content-type": "application/json"})
        yield self._finding("error", "no JSON", self._error_problem(malformed, (400, 422)))
        name = next(iter(self._description.properties(self._operation.request)))
        wrong: dict[str, Any] = {**base.body, name: {"wrong": [[]]}}
        response = self._send(Probe("", wrong, {}))
        problem = self._error_problem(response, (400, 404, 422))
        if not problem and response.json()["error"]["param"] is None:
            problem = "param is null; it should name the field"
        yield self._finding("error", "wrong type", problem)

    def _error_problem(self, response: httpx.Response, statuses: tuple[int, ...]) -> str:
        if response.status_code not in statuses:
            return f"status {response.status_code}, not {' or '.join(map(str, statuses))}"
        try:
            return self._description.problem(ERROR, response.json())
        except ValueError:
            return "the body is not JSON"

    def _events(self) -> Iterator[Finding]:
        """Each event that the description names comes in a stream, and is of its schema and of the client's type."""
        variants = {type_name(each): each for each in self._description.variants(self._operation.events or {})}
        for name in variants:
            yield self._finding("event", name, "it did not come")
        for event in self._streamed():
            name = event.get("type") or next(iter(variants), "")
            problem = self._description.problem(variants.get(name, {}), event)
            problem = problem or type_problem(str(self._operation), event, is_event=True)
            yield self._finding("event", name, problem)
            if "type" not in event:
                for path, wrong in response_fields(self._description, self._operation.events or {}, event):
                    yield self._finding("event", path, wrong)

    def _streamed(self) -> Iterator[dict[str, Any]]:
        """Events of several streams: an answer with citations, one that is cut, one without documents, a call."""
        base = base_body(self._operation, self._subject) | {"stream": True}
        bodies: list[dict[str, Any]] = [base]
        if self._operation.resource == "responses":
            call = {"type": "function", "name": "f", "strict": True, "parameters": {"type": "object", "properties": {}}}
            model = self._subject.language_model
            bodies += [base | {"max_output_tokens": 1, "text": {"format": {"type": "text"}}}]
            bodies += [{"model": model, "input": CONTEXT, "stream": True}]
            bodies += [{"model": model, "input": QUESTION, "stream": True, "tools": [call], "tool_choice": "required"}]
        else:
            bodies += [base | {"stream_options": {"include_usage": True}}]
        for body in bodies:
            yield from self._subject.events(self._path(), body)

    def _path(self, ids: dict[str, str] | None = None) -> str:
        if self._operation.path.endswith("{response_id}/cancel"):
            ids = ids or {"response_id": self._subject.id_of("background_id")}
        return self._subject.path(self._operation.path, ids)

    def _send(self, probe: Probe, ids: dict[str, str] | None = None) -> httpx.Response:
        response = self._subject.send(self._operation.method, self._path(ids), **request_of(self._operation, probe))
        if self._operation.method == "delete" and ids is None:
            self._subject.forget(*(piece[1:-1] for piece in self._operation.path.split("/") if piece.startswith("{")))
        return response

    def _finding(self, kind: Kind, name: str, problem: str = "") -> Finding:
        return Finding(self._operation.resource, kind, f"{self._operation} {name}".strip(), problem)


def _failure(response: httpx.Response) -> str:
    """Why a request failed; empty if it did not."""
    if response.status_code < 400:
        return ""
    try:
        return f"{response.status_code}: {json.dumps(response.json()['error']['message'])[:160]}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}"
