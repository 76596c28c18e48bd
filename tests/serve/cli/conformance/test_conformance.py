"""`ragserve conformance`: what a description names is tried, and each miss has its name."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from models.errors.configuration import ConfigError
from serve.cli.conformance.description import Description
from serve.cli.conformance.findings import Findings
from serve.cli.conformance.run import run
from serve.cli.main import app
from tests.serve.api.http_server import Server

TEXT = {"type": "string"}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "required": ["message", "type", "param", "code"]}},
}
MODEL = {
    "type": "object",
    "required": ["id", "owned_by"],
    "properties": {"id": TEXT, "owned_by": {"type": "integer"}, "color": TEXT, "old": {**TEXT, "deprecated": True}},
}
TOOL = {"oneOf": [{"$ref": "#/components/schemas/Search"}, {"$ref": "#/components/schemas/Web"}]}
DELETED = {"properties": {"deleted": {"type": "boolean"}}}
REQUEST = {
    "allOf": [
        {"type": "object", "properties": {"input": TEXT, "temperature": {"type": "number", "maximum": 2}}},
        {
            "type": "object",
            "properties": {
                "truncation": {"type": "string", "enum": ["auto", "sideways"]},
                "tools": {
                    "type": "array",
                    "items": TOOL,
                },
                "text": {"type": "object", "properties": {"verbosity": {"type": "string", "enum": ["low", "loud"]}}},
            },
        },
    ]
}


def tool(kind: str, **properties: Any) -> dict[str, Any]:
    fields = {"type": {"type": "string", "enum": [kind]}, **properties}
    return {"type": "object", "properties": fields, "required": list(fields)}


def event(kind: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"type": {"type": "string", "enum": [kind]}}}


def operation(response: dict[str, Any], request: dict[str, Any] | None = None, **contents: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": response}, **contents}
    body = {} if request is None else {"requestBody": {"content": {"application/json": {"schema": request}}}}
    return {"responses": {"200": {"content": content}}, **body}


DESCRIPTION = {
    "info": {"title": "Small", "version": "1"},
    "components": {
        "schemas": {
            "ErrorResponse": ERROR,
            "Search": tool("file_search", vector_store_ids={"type": "array", "items": TEXT}),
            "Web": tool("web_search"),
        }
    },
    "paths": {
        "/models/{model}": {
            "get": operation(MODEL),
            "delete": operation(DELETED),
        },
        "/responses": {
            "post": operation(
                {"type": "object", "properties": {"status": {"type": "string", "enum": ["completed"]}}},
                REQUEST,
                **{"text/event-stream": {"schema": {"oneOf": [event("response.completed"), event("response.sung")]}}},
            )
        },
        "/images": {"get": operation({})},
        "/models?beta=true": {"get": operation({})},
    },
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def description(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json.gz"
    path.write_bytes(gzip.compress(json.dumps(DESCRIPTION).encode()))
    return path


def problems(findings: Findings, kind: str) -> dict[str, str]:
    return {each.name: each.problem for each in findings.by_name.values() if each.kind == kind}


def test_every_miss_has_its_name_and_reason(server: Server, description: Path) -> None:
    findings = run(Description(description), f"http://127.0.0.1:{server.port}", Console(quiet=True))

    operations, requests = problems(findings, "operation"), problems(findings, "request")
    assert {name for name, problem in operations.items() if problem} == {"DELETE /models/{model}"}
    assert {name.removeprefix("POST /responses ") for name, problem in requests.items() if problem} == {
        "truncation[sideways]",
        "tools[web_search]",
        "text.verbosity[loud]",
    }
    assert "not a tool of this service" in requests["POST /responses tools[web_search]"]
    responses = problems(findings, "response")
    assert responses["GET /models/{model} id"] == ""
    assert "is not of type 'integer'" in responses["GET /models/{model} owned_by"]
    assert responses["GET /models/{model} color"] == "absent"
    assert "GET /models/{model} old" not in responses
    assert problems(findings, "error") == dict.fromkeys(
        ("GET /models/{model} 404", "POST /responses no JSON", "POST /responses wrong type"), ""
    )
    assert problems(findings, "event")["POST /responses response.sung"] == "it did not come"
    assert problems(findings, "event")["POST /responses response.completed"] == ""
    assert findings.share("models", "operation") == (1, 2)


def test_the_command_prints_the_shares(server: Server, description: Path) -> None:
    arguments = ["conformance", str(description), "--url", f"http://127.0.0.1:{server.port}"]

    printed = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})

    assert printed.exit_code == 0, printed.output
    assert "request POST /responses tools[web_search]" in printed.output
    assert "50.0 (1/2)" in printed.output


def test_a_file_that_is_no_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("[]")

    with pytest.raises(ConfigError, match="not an OpenAPI description"):
        Description(tmp_path / "no.json")
