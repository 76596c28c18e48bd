"""Requests that try each field of an operation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from serve.cli.conformance.description import Description, Operation, Schema, type_name
from serve.cli.conformance.subject import CONTEXT, FILE_EXPIRY, QUESTION, STORE_EXPIRY, TEXT, Subject

MAX_DEPTH = 2  # fields of the body, and fields of those


@dataclass(frozen=True)
class Probe:
    """A request with one field more than it needs. `field` is its path, `[name]` the variant or value of it."""

    field: str
    body: dict[str, Any]
    query: dict[str, Any]
    plain: dict[str, Any] | None = None  # the same without documents, for what only a language model follows


def base_body(operation: Operation, subject: Subject) -> dict[str, Any]:
    """The smallest body of the operation that succeeds."""
    message = {"type": "message", "role": "user", "content": QUESTION}
    search = subject.search
    bodies: dict[str, dict[str, Any]] = {
        "/responses": {"model": "ragserve", "input": QUESTION, **search},
        "/responses/compact": {"model": "ragserve", "input": QUESTION},
        "/responses/input_tokens": {"model": "ragserve", "input": QUESTION},
        "/chat/completions": {"model": "ragserve", "messages": [{"role": "user", "content": QUESTION}]},
        "/embeddings": {"model": "ragserve", "input": QUESTION},
        "/conversations/{conversation_id}": {"metadata": {"a": "b"}},
        "/conversations/{conversation_id}/items": {"items": [message]},
        "/vector_stores/{vector_store_id}/search": {"query": QUESTION},
        "/vector_stores/{vector_store_id}/files": {"file_id": subject.id_of("file_id")},
        "/vector_stores/{vector_store_id}/files/{file_id}": {"attributes": {"year": 2026}},
        "/vector_stores/{vector_store_id}/file_batches": {"file_ids": [subject.id_of("file_id")]},
        "/files": {"purpose": "assistants", "expires_after": FILE_EXPIRY},
        "/vector_stores": {"name": "conformance", "expires_after": STORE_EXPIRY},
    }
    return bodies.get(operation.path, {})


def plain_body(operation: Operation, subject: Subject) -> dict[str, Any]:
    """A request to the language model alone; empty for operations without one."""
    if operation.path == "/responses":
        return {"model": subject.language_model, "input": CONTEXT}
    if operation.path == "/chat/completions":
        return {"model": subject.language_model, "messages": [{"role": "user", "content": CONTEXT}]}
    return {}


def field_values(subject: Subject) -> dict[str, Any]:
    """Values of fields that name objects, or whose type says too little."""
    message = {"type": "message", "role": "user", "content": QUESTION}
    return {
        "model": "ragserve",
        "input": QUESTION,
        "query": QUESTION,
        "messages": [{"role": "user", "content": QUESTION}],
        "file_id": subject.id_of("file_id"),
        "file_ids": [subject.id_of("file_id")],
        "files": [{"file_id": subject.id_of("file_id")}],
        "vector_store_ids": [subject.id_of("vector_store_id")],
        "previous_response_id": subject.id_of("response_id"),
        "conversation": subject.id_of("conversation_id"),
        "items": [message],
        "metadata": {"a": "b"},
        "attributes": {"year": 2026},
        "filters": {"type": "eq", "key": "year", "value": 2026},
        "expires_after": STORE_EXPIRY,
        "max_output_tokens": 64,
        "temperature": 0,
        "top_p": 1,
        "dimensions": subject.dimensions,
        "stop": ["\n\n"],
    }


def query_probes(description: Description, operation: Operation, subject: Subject) -> Iterator[Probe]:
    """One request for each query parameter, and for each of its values."""
    values = {"limit": 5, "starting_after": 0, **_cursors(operation, subject)}
    base = base_body(operation, subject)
    for parameter in operation.parameters:
        if parameter["in"] != "query":
            continue
        name, schema = parameter["name"], description.variants(parameter["schema"])[0]
        choices = schema.get("enum") or description.resolve(schema.get("items", {})).get("enum")
        if choices is None:
            yield Probe(f"?{name}", base, {name: values.get(name, description.sample(schema))})
        for choice in choices or ():
            is_list = "items" in schema
            yield Probe(f"?{name}[{choice}]", base, {f"{name}[]" if is_list else name: choice})


def _cursors(operation: Operation, subject: Subject) -> dict[str, str]:
    """The id of an item of the list, for `after` and `before`."""
    response = subject.send("get", subject.path(operation.path))
    is_list = response.status_code == 200 and "json" in response.headers["content-type"]
    items = response.json().get("data") if is_list else None
    cursor = str(items[0]["id"]) if items and "id" in items[0] else "none"
    return {"after": cursor, "before": cursor}


def body_probes(description: Description, operation: Operation, subject: Subject) -> Iterator[Probe]:
    """One request for each field of the body, for each variant and value of it, and for the fields inside."""
    if operation.request is None:
        return
    base, presets = base_body(operation, subject), field_values(subject)
    if operation.is_form:
        presets["expires_after"] = FILE_EXPIRY
    for name, schema in description.properties(operation.request).items():
        for path, value in _values(description, name, schema, presets, MAX_DEPTH):
            plain = plain_body(operation, subject)
            body = {**base, name: value}
            if name == "files":
                del body["file_ids"]  # one of both
            yield Probe(path, body, {}, plain | {name: value} if plain else None)


def _values(
    description: Description, name: str, schema: Schema, presets: dict[str, Any], depth: int, path: str = ""
) -> Iterator[tuple[str, Any]]:
    """The field's values to try, each with its path."""
    here = f"{path}.{name}" if path else name
    variants = description.variants(schema)
    if name in presets:
        yield here, presets[name]
        return
    for variant in variants:
        label = f"{here}[{type_name(variant)}]" if len(variants) > 1 else here
        yield from _variant_values(description, label, variant, presets, depth)


def _variant_values(
    description: Description, label: str, variant: Schema, presets: dict[str, Any], depth: int
) -> Iterator[tuple[str, Any]]:
    if "enum" in variant:
        for choice in variant["enum"]:
            yield f"{label}[{choice}]", choice
        return
    if "items" in variant:
        items = description.variants(variant["items"])
        for item in items:
            inner = f"{label}[{type_name(item)}]" if len(items) > 1 else label
            for path, value in _variant_values(description, inner, item, presets, 0):
                yield path, [value]
        return
    filled = _filled(description.sample(variant), presets)
    yield label, filled
    if depth > 1:
        for name, schema in variant.get("properties", {}).items():
            for path, value in _values(description, name, schema, presets, depth - 1, label):
                if isinstance(filled, dict) and path != f"{label}.type":
                    yield path, {**filled, name: value}


def _filled(value: Any, presets: dict[str, Any]) -> Any:
    """A sample with real ids where it names objects."""
    if isinstance(value, dict):
        return {name: presets.get(name) or _filled(each, presets) for name, each in value.items()}
    return [_filled(each, presets) for each in value] if isinstance(value, list) else value


def request_of(operation: Operation, probe: Probe) -> dict[str, Any]:
    """What httpx sends."""
    if operation.is_form:
        data = {name: value for name, value in _form_fields(probe.body)}
        return {"data": data, "files": {"file": ("ovens.md", TEXT.encode())}, "params": probe.query}
    if operation.request is None:
        return {"params": probe.query}
    return {"json": probe.body, "params": probe.query}


def _form_fields(body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """A form's fields, as OpenAI's client writes an object: name[inner]."""
    for name, value in body.items():
        if isinstance(value, dict):
            yield from ((f"{name}[{inner}]", each) for inner, each in value.items())
        elif name != "file":
            yield name, value
