"""The OpenAPI document: valid, complete, and true of what the routes really send."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from models.corpus.audit_log import AuditEvent
from serve.api.description.examples import REQUESTS
from serve.api.description.operations import SUCCESS
from serve.middleware import LIMITED
from tests.serve.api.api_samples import Running, ingest_file

STORE = "/v1/vector_stores/default"


class Checked:
    """A client that validates each JSON response against the document, and keeps the operations that answered."""

    def __init__(self, http: httpx.AsyncClient, document: dict[str, Any]) -> None:
        self._http, self._document, self.answered = http, document, set[str]()

    async def __call__(self, method: str, template: str, status: int = 200, body: Any = None, **ids: str) -> Any:
        path = re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], template)
        params = {"user": "ann"} if "user_facts" in template else {}
        response = await self._http.request(method, path, json=body, params=params)
        assert response.status_code == status, response.text
        self.check(f"{method} {template}", response)
        return response.json() if response.headers["content-type"].startswith("application/json") else response.text

    def check(self, key: str, response: httpx.Response) -> None:
        method, path = key.split(" ")
        declared = self._document["paths"][path][method]["responses"][str(response.status_code)]["content"]
        media_type = response.headers["content-type"].partition(";")[0]
        schema = {**declared[media_type]["schema"], "components": self._document["components"]}
        if media_type == "application/json":
            Draft202012Validator(schema).validate(response.json())
        if response.status_code == 200:
            self.answered.add(key)


@pytest.fixture
def document(service: Running) -> dict[str, Any]:
    return service.app.openapi()


@pytest.fixture
async def call(service: Running, document: dict[str, Any]) -> AsyncIterator[Checked]:
    async with service.http() as http:
        yield Checked(http, document)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()


def test_every_operation_has_an_id_a_tag_its_shape_and_its_errors(document: dict[str, Any]) -> None:
    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z0-9_]+", each) for each in ids)
    assert operations.keys() == SUCCESS.keys()
    for key, operation in operations.items():
        assert operation["description"], key
        assert len(operation["tags"]) == 1, key
        if operation["tags"] == ["probes"]:
            continue
        statuses = set(operation["responses"])
        assert {"200", "401", "422", "500"} <= statuses, key
        assert ("404" in statuses) or "{" not in key, key
        assert ({"408", "413"} <= statuses) == ("requestBody" in operation), key
        is_limited = key.partition(" ")[2] in LIMITED
        assert ({"429", "503", "504"} <= statuses) == is_limited, key
        assert {"bearer": []} in operation["security"], key
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_generators_of_clients_can_read_it(document: dict[str, Any]) -> None:
    """What openapi-python-client stumbled over: two names that become one, and bytes without a format."""
    schemas = document["components"]["schemas"]
    text = json.dumps(document)

    assert {name: schema["title"] for name, schema in schemas.items()} == {name: name for name in schemas}
    assert "__" not in "".join(schemas)
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= schemas.keys()
    assert schemas["FileUpload"]["properties"]["file"]["format"] == "binary"
    for values in re.findall(r'"enum": (\[[^]]*\])', text):
        lowered = [str(value).lower() for value in json.loads(values)]
        assert len(set(lowered)) == len(lowered), values
    for path, methods in document["paths"].items():
        for operation in methods.values():
            names = [re.sub(r"\W", "", each["name"]) for each in operation.get("parameters", ())]
            assert len(set(names)) == len(names), path


def test_a_stream_is_declared_where_a_request_can_ask_for_it(document: dict[str, Any]) -> None:
    streaming = {
        path
        for path, methods in document["paths"].items()
        if "text/event-stream" in methods.get("post", {}).get("responses", {}).get("200", {}).get("content", {})
    }

    answers = ("query", "chat/completions", "completions", "messages", "responses")
    assert streaming == {f"/v1/{name}" for name in answers}


async def test_each_example_is_accepted_and_answered_as_described(service: Running, call: Checked) -> None:
    async with service.openai_client("any") as client:
        file_id = await ingest_file(client, "ovens.md", b"The oven heats to 250 degrees.\n", "default")

    for key, body in REQUESTS.items():
        method, path = key.split(" ")
        await call(method, path, body=body, vector_store_id="default", file_id=file_id)

    assert call.answered == REQUESTS.keys()


async def test_what_the_routes_send_has_the_described_shape(service: Running, call: Checked) -> None:
    async with service.openai_client("any") as client:
        file_id = await ingest_file(client, "ovens.md", b"# Ovens\n\nThe oven heats to 250 degrees.\n", "default")
        broken = await client.files.create(file=("broken.pdf", b"%PDF-1.7 broken"), purpose="assistants")
        await client.vector_stores.files.create_and_poll(broken.id, vector_store_id="default", poll_interval_ms=10)
    store = {"vector_store_id": "default"}
    file = {**store, "file_id": file_id}
    batch = await call(
        "post", "/v1/vector_stores/{vector_store_id}/file_batches", body={"file_ids": [file_id]}, **store
    )
    conversation = await call(
        "post", "/v1/conversations", body={"items": [{"type": "message", "role": "user", "content": "Hi"}]}
    )
    items = await call("get", "/v1/conversations/{conversation_id}/items", conversation_id=conversation["id"])
    response = await call("post", "/v1/responses", body={"model": "ragserve", "input": "How hot does the oven get?"})

    feedback = await call("post", "/v1/feedback", body={"id": "req_1", "rating": "good"})
    service.corpus.user_facts.add("default", "ann", ["I own a mill."])
    facts = await call("get", "/v1/user_facts")
    service.corpus.audit_log.add("default", AuditEvent("key_1", "POST /v1/files", 200, "writer", "req_1", {"id": "f"}))

    gets = [key.removeprefix("get ") for key in SUCCESS if key.startswith("get ")]
    ids = {
        **file,
        "batch_id": batch["id"],
        "model_id": "ragserve",
        "conversation_id": conversation["id"],
        "item_id": items["data"][0]["id"],
        "response_id": response["id"],
        "feedback_id": feedback["id"],
        "fact_id": facts["data"][0]["id"],
        "version": "1",
    }
    for template in gets:
        await call("get", template, **ids)
    await call("get", "/v1/files/{file_id}", 404, file_id="file-unknown")
    await call("post", "/v1/query", 422, body={"query": ""})
    await call("post", "/v1/messages", 422, body={"messages": []})
    for template in ("/v1/vector_stores/{vector_store_id}/files/{file_id}", "/v1/files/{file_id}"):
        await call("delete", template, **file)
    await call("delete", "/v1/feedback/{feedback_id}", **ids)
    await call("delete", "/v1/user_facts/{fact_id}", **ids)
    await call("delete", "/v1/user_facts")
    await call("delete", "/v1/responses/{response_id}", response_id=response["id"])
    await call("delete", "/v1/conversations/{conversation_id}/items/{item_id}", **ids)
    await call("delete", "/v1/conversations/{conversation_id}", conversation_id=conversation["id"])

    assert {key for key in SUCCESS if key.startswith(("get ", "delete "))} - call.answered == {
        "delete /v1/vector_stores/{vector_store_id}"
    }


async def test_with_keys_every_operation_needs_one(service: Running) -> None:
    service.replace(access=object())

    operation = service.app.openapi()["paths"]["/v1/query"]["post"]

    assert operation["security"] == [{"bearer": []}, {"x-api-key": []}]
