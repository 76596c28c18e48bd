"""OpenAI's description of its API: its operations, and values and fields by its schemas."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from models.errors.configuration import ConfigError

METHODS = ("get", "post", "delete")
JSON, EVENT_STREAM, FORM = "application/json", "text/event-stream", "multipart/form-data"
# The parts of the API that this service has, by the beginning of their paths.
RESOURCES = {
    "responses": "/responses",
    "conversations": "/conversations",
    "vector stores": "/vector_stores",
    "files": "/files",
    "chat": "/chat/completions",
    "embeddings": "/embeddings",
    "models": "/models",
}

Schema = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """A method of a path. `request` and `response` are JSON schemas, `events` that of one event of a stream."""

    resource: str
    method: str
    path: str
    request: Schema | None
    response: Schema | None
    events: Schema | None
    parameters: tuple[dict[str, Any], ...]
    is_form: bool = False

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


class Description:
    """The description, read from a file. Raises ConfigError for a file that is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            self._root: dict[str, Any] = json.loads(content)
            self.version = f"{self._root['info']['title']} {self._root['info']['version']}"
            self._schemas: dict[str, Schema] = self._root["components"]["schemas"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                str(path), f"not an OpenAPI description in JSON, or one packed by gzip: {error}"
            ) from None

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Those of the resources that this service has; beta variants are left out."""
        return tuple(self._operations())

    def _operations(self) -> Iterator[Operation]:
        for path, methods in self._root["paths"].items():
            resource = next((name for name, start in RESOURCES.items() if path.startswith(start)), None)
            for method in METHODS:
                if resource is not None and "?" not in path and method in methods:
                    yield self._operation(resource, method, path, methods[method])

    def _operation(self, resource: str, method: str, path: str, body: dict[str, Any]) -> Operation:
        requests = body.get("requestBody", {}).get("content", {})
        responses = body["responses"].get("200", {}).get("content", {})
        parameters = tuple(self.resolve(each) for each in body.get("parameters", ()))
        return Operation(
            resource,
            method,
            path,
            (requests.get(JSON) or requests.get(FORM) or {}).get("schema"),
            responses.get(JSON, {}).get("schema"),
            responses.get(EVENT_STREAM, {}).get("schema"),
            parameters,
            is_form=JSON not in requests and FORM in requests,
        )

    def resolve(self, schema: Schema) -> Schema:
        """The schema that a reference names, with the fields beside it."""
        while "$ref" in schema:
            *_, kind, name = schema["$ref"].split("/")
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._root["components"][kind][name], **beside}
        return schema

    def variants(self, schema: Schema) -> list[Schema]:
        """The alternatives of a schema, without null; itself if it has none. `allOf` is one, with all properties."""
        schema = self.resolve(schema)
        alternatives = schema.get("oneOf") or schema.get("anyOf")
        if alternatives and "properties" not in schema:
            return [
                variant for each in alternatives for variant in self.variants(each) if variant.get("type") != "null"
            ]
        if "allOf" not in schema:
            return [schema]
        pieces = [variant for each in schema["allOf"] for variant in self.variants(each)[:1]]
        properties = {name: value for each in pieces for name, value in each.get("properties", {}).items()}
        required = [name for each in pieces for name in each.get("required", ())]
        return [{"type": "object", "properties": properties, "required": required}]

    def properties(self, schema: Schema) -> dict[str, Schema]:
        """The fields of an object; of a union, those of its first object."""
        objects = (each["properties"] for each in self.variants(schema) if "properties" in each)
        return next(objects, {})

    def problem(self, schema: Schema, value: Any) -> str:
        """Why the value is not of the schema; empty if it is."""
        validator = Draft202012Validator({"components": self._root["components"], **schema})
        error = next(iter(sorted(validator.iter_errors(value), key=lambda each: len(each.path))), None)
        if error is None:
            return ""
        place = ".".join(map(str, error.path))
        return f"{place + ': ' if place else ''}{error.message}"[:200]

    def sample(self, schema: Schema) -> Any:
        """A small value of the schema, with the required properties alone."""
        schema = self.variants(schema)[0]
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "object":
                return {name: self.sample(schema["properties"][name]) for name in schema.get("required", ())}
            case "array":
                return [self.sample(schema["items"])]
            case "integer" | "number":
                return max(schema.get("minimum", 1), 1) if schema.get("maximum", 1) >= 1 else schema["maximum"]
            case "boolean":
                return True
        return "x" * max(1, schema.get("minLength", 1))


def type_name(variant: Schema) -> str:
    """What tells a variant from others: the constant of its `type`, else its JSON type."""
    kinds = variant.get("properties", {}).get("type", {}).get("enum")
    return str(kinds[0]) if kinds else str(variant.get("title") or variant.get("type") or "any")
