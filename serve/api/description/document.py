"""Complete the framework's OpenAPI document: ids, tags, shapes, errors, streams, keys and examples."""

from collections import Counter
from collections.abc import Callable, Container
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serve.api.description import examples
from serve.api.description.operations import ERRORS, JSON, STREAM, SUCCESS, Success, error_statuses
from serve.api.errors import MESSAGES, ErrorBody
from serve.api.query import QueryResponse
from serve.api.services import TenantRoute

Json = dict[str, Any]

TAGS = {
    "answers": "Questions in, cited answers out, in several shapes.",
    "models": "Embeddings, reranking, and the names of models.",
    "files": "Uploaded files.",
    "vector_stores": "Vector stores, their files and their search.",
    "conversations": "Stored conversations, and facts about users.",
    "feedback": "What users said of answers.",
    "dead_letters": "Files that failed for good.",
    "probes": "Liveness, readiness and metrics. No key needed.",
}
BYTES: Json = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
# The route reads these itself, so the framework knows neither.
REPLACE = "put /v1/files/{file_id}/content"
CONTENT: Json = {
    "application/octet-stream": {"schema": BYTES},
    "multipart/form-data": {"schema": {"type": "object", "properties": {"file": BYTES}, "required": ["file"]}},
}
_TAG_OF = {
    "query": "answers",
    "chat": "answers",
    "completions": "answers",
    "messages": "answers",
    "responses": "answers",
    "embeddings": "models",
    "rerank": "models",
    "user_facts": "conversations",
    "audit_log": "dead_letters",
}
KEYS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, as OpenAI's clients send it."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "As Anthropic's clients do."},
}
FRAMEWORK_ERRORS = ("HTTPValidationError", "ValidationError")  # no route sends them: see errors.py
UPLOAD = "Body_upload_file_v1_files_post"
REFERENCE = "#/components/schemas/{model}"
# What every answer from documents has, beside the fields of its shape: the same as in POST /v1/query.
_OWN_FIELDS = {"id", "answer", "finish_reason", "usage"}
_WITH_EVIDENCE = ("ChatCompletion", "TextCompletionObject", "AnthropicMessage", "ResponseObject")


def describe(app: FastAPI, limited: Container[str], needs_key: Callable[[], bool]) -> None:
    """Make `app.openapi()` return the complete document. `limited`: the paths that may be refused with a 429."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, limited, needs_key())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way: docs, "Extending OpenAPI"


def _document(app: FastAPI, limited: Container[str], needs_key: bool) -> Json:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    schemas: Json = document["components"]["schemas"]
    schemas |= {name: schema for name, schema in _shapes().items() if name not in schemas}
    _add_evidence(schemas)
    document["components"]["securitySchemes"] = KEYS
    tenant_paths = {route.path for route in app.routes if isinstance(route, TenantRoute)}
    names = _operation_ids(app)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            key = f"{method} {path}"
            operation["operationId"] = names[key]
            operation["tags"] = [_tag(path)]
            _drop_brackets(operation)
            if key == REPLACE:
                operation["requestBody"] = {"required": True, "content": CONTENT}
            operation["responses"] = _successes(key)
            if path in tenant_paths:
                operation["security"] = [{name: []} for name in KEYS] + ([] if needs_key else [{}])
                statuses = error_statuses(key, "requestBody" in operation, path in limited)
                operation["responses"] |= {str(status): _error(path, status) for status in statuses}
            _add_example(operation, examples.REQUESTS.get(key))
    # Generators of clients need the older `format` too, to send bytes.
    schemas[UPLOAD]["properties"]["file"] |= BYTES
    for name in FRAMEWORK_ERRORS:
        schemas.pop(name, None)
    return _renamed(document)


def _renamed(document: Json) -> Json:
    """Schemas of two modules with one name get their module's before it, without the framework's long path."""
    schemas: Json = document["components"]["schemas"]
    names = {name: _short(name) for name in schemas}
    document["components"]["schemas"] = {
        names[name]: schema | {"title": names[name]} for name, schema in schemas.items()
    }
    references = {REFERENCE.format(model=name): REFERENCE.format(model=short) for name, short in names.items()}
    renamed: Json = _replaced(document, references)
    return renamed


def _short(name: str) -> str:
    """`serve__api__response_items__TextPart` becomes ResponseItemsTextPart."""
    if name == UPLOAD:
        return "FileUpload"
    *path, last = name.split("__")
    return "".join(word.capitalize() for word in path[-1].split("_")) + last if path else last


def _replaced(value: Any, references: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, references) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, references) for item in value]
    return references.get(value, value) if isinstance(value, str) else value


def _shapes() -> Json:
    """The schemas of all responses, by name."""
    kinds = {kind for success in SUCCESS.values() for kind in (*success.kinds, *success.lists)} | {ErrorBody}
    modes: list[tuple[type[BaseModel], Any]] = [
        (kind, "validation") for kind in sorted(kinds, key=lambda k: k.__name__)
    ]
    schemas: Json = models_json_schema(modes, ref_template=REFERENCE)[1]["$defs"]
    return schemas


def _add_evidence(schemas: Json) -> None:
    evidence = {name: schema for name, schema in _properties(schemas).items() if name not in _OWN_FIELDS}
    for name in _WITH_EVIDENCE:
        schemas[name]["properties"] = evidence | schemas[name]["properties"]


def _properties(schemas: Json) -> Json:
    properties: Json = schemas[QueryResponse.__name__]["properties"]
    return properties


def _operation_ids(app: FastAPI) -> dict[str, str]:
    """The name of each route's function by operation; of a function with several paths, with the path."""
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    num_paths = Counter(route.name for route in routes)
    return {
        f"{method.lower()} {route.path}": route.name if num_paths[route.name] == 1 else _with_path(route)
        for route in routes
        for method in route.methods
    }


def _with_path(route: APIRoute) -> str:
    return f"{route.name}{route.path.removesuffix(route.name).replace('/', '_').rstrip('_')}"


def _tag(path: str) -> str:
    segment = path.removeprefix("/v1").removeprefix("/v2").split("/")[1]
    tag = _TAG_OF.get(segment, segment)
    return tag if tag in TAGS else "probes"


def _successes(key: str) -> Json:
    success = SUCCESS[key] if key in SUCCESS else Success("It succeeded.")
    content: Json = {success.media_type: {"schema": _schema(success)}}
    if success.streams:
        schema = {"type": "string", "description": "Server-sent events, each with JSON in `data`."}
        content[STREAM] = {"schema": schema, "example": examples.STREAMS[key]}
    responses: Json = {"200": _response(success.description, content)}
    if key == "get /readyz":
        responses["503"] = _response("Answers are not whole: `missing` says why.", content)
    return responses


def _schema(success: Success) -> Json:
    if success.media_type != JSON:
        return {"type": "string"} if success.media_type.startswith("text/") else BYTES
    kinds = [_reference(kind) for kind in success.kinds]
    lists = [{"type": "array", "items": _reference(kind)} for kind in success.lists]
    alternatives = [*kinds, *lists]
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives} if alternatives else {}


def _reference(kind: type[BaseModel]) -> Json:
    return {"$ref": REFERENCE.format(model=kind.__name__)}


def _response(description: str, content: Json) -> Json:
    request_id = {"description": "The request's id, as in the log.", "schema": {"type": "string"}}
    return {"description": description, "headers": {"x-request-id": request_id}, "content": content}


def _error(path: str, status: int) -> Json:
    schema = _reference(ErrorBody)
    response = _response(ERRORS[status], {JSON: {"schema": schema}})
    if path == MESSAGES:
        # Anthropic's error object has the same fields, and `type` beside `error`.
        response["content"][JSON]["schema"] = {"allOf": [schema], "properties": {"type": {"const": "error"}}}
    elif status == 422:
        response["content"][JSON]["example"] = examples.ERROR
    if status in (429, 503, 507):
        response["headers"]["retry-after"] = {"description": "Seconds.", "schema": {"type": "integer"}}
    return response


def _drop_brackets(operation: Json) -> None:
    """Leave out `include[]`, a second spelling of `include` for OpenAI's clients: generators see one name twice."""
    if "parameters" in operation:
        operation["parameters"] = [each for each in operation["parameters"] if not each["name"].endswith("[]")]


def _add_example(operation: Json, example: Json | None) -> None:
    body = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if body is not None and example is not None:
        body["example"] = example
