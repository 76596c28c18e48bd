"""Routes x roles x tenants x vector stores: every route is in the table, and each cell is tried over HTTP."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from models.corpus.api_keys import ROLES, Role
from serve.access.roles import OPERATIONS
from serve.api.services import TenantRoute
from tests.serve.api.api_samples import Clock, Running, error_of, ingest_file, running

PUBLIC = {"/", "/docs", "/page/{name}", "/healthz", "/readyz", "/metrics"}
SECRET_TEXT = b"The code of the vault is 4711."


@dataclass(frozen=True)
class World:
    """Two tenants. The first has a file in each of two vector stores. `keys` has a secret for each kind of caller."""

    service: Running
    keys: dict[str, str]
    ids: dict[str, str]
    other_store: str
    secret_file: str

    async def send(self, key: str | None, operation: str, **ids: str) -> httpx.Response:
        method, template = operation.split(" ")
        path = re.sub(r"\{(\w+)\}", lambda match: (self.ids | ids)[match[1]], template)
        async with self.service.http(None if key is None else self.keys[key]) as http:
            return await http.request(method, path, content=b"{}" if method in ("POST", "PUT") else None)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    keys_file = tmp_path / "keys.yaml"
    keys_file.write_text(f"unused: [{'a' * 64}]\n")
    async with running(tmp_path, Clock(), keys_file) as service:
        create = service.corpus.api_keys.create
        stores = [service.corpus.vector_stores.create("acme", name).vector_store_id for name in ("manuals", "secrets")]
        keys = {role: create("acme", role, role)[1] for role in ROLES}
        keys |= {f"limited {role}": create("acme", role, role, (stores[0],))[1] for role in ROLES}
        keys["stranger"] = create("globex", "stranger", "admin")[1]
        async with service.openai_client(keys["admin"]) as client:
            file_id = await ingest_file(client, "oven.md", b"The oven heats to 250 degrees.", stores[0])
            secret_file = await ingest_file(client, "vault.md", SECRET_TEXT, stores[1])
            batch = await client.vector_stores.file_batches.create(stores[0], file_ids=[file_id])
        ids = {"vector_store_id": stores[0], "file_id": file_id, "batch_id": batch.id, "model_id": "ragserve"}
        ids["version"] = "1"
        unknown = dict.fromkeys(("conversation_id", "response_id", "item_id", "feedback_id", "fact_id"), "unknown")
        yield World(service, keys, ids | unknown, stores[1], secret_file)


def test_every_route_has_a_role_and_no_role_is_left_over(world: World) -> None:
    routes = [route for route in world.service.app.routes if isinstance(route, APIRoute)]
    operations = {f"{method} {route.path}" for route in routes for method in route.methods if route.path not in PUBLIC}

    assert operations == set(OPERATIONS)
    assert all(isinstance(route, TenantRoute) for route in routes if route.path not in PUBLIC)


async def test_no_route_answers_without_a_key(world: World) -> None:
    for operation in OPERATIONS:
        response = await world.send(None, operation)
        assert error_of(response)[:2] == (401, "invalid_api_key"), operation


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_may_do_what_the_table_says(world: World, role: Role) -> None:
    """What is allowed may still be a 404 or a 422: the bodies are empty. Deletes come last."""
    for operation in sorted(OPERATIONS, key=lambda each: each.startswith("DELETE")):
        needed, takes_limited = OPERATIONS[operation]
        is_allowed = ROLES.index(role) >= ROLES.index(needed)
        limited = await world.send(f"limited {role}", operation)
        response = await world.send(role, operation)

        assert (response.status_code == 403) != is_allowed, (operation, response.text)
        assert (limited.status_code == 403) != (is_allowed and takes_limited), (operation, limited.text)
        assert 401 not in (response.status_code, limited.status_code), operation


async def test_another_tenant_and_a_limited_key_find_nothing(world: World) -> None:
    for operation, (_, takes_limited) in OPERATIONS.items():
        if "{" not in operation or "{model_id}" in operation:
            continue
        stranger = await world.send("stranger", operation)
        assert stranger.status_code in (404, 422), (operation, stranger.text)
        if takes_limited and ("{vector_store_id}" in operation or "{file_id}" in operation):
            elsewhere = await world.send(
                "limited admin", operation, vector_store_id=world.other_store, file_id=world.secret_file
            )
            assert error_of(elsewhere)[:2] == (404, "not_found"), (operation, elsewhere.text)


def questions(store: str) -> dict[str, dict[str, object]]:
    """A question to one vector store, in the shape of each route."""
    asked = [{"role": "user", "content": "code of the vault"}]
    return {
        "/v1/query": {"query": "code of the vault", "vector_store_ids": [store]},
        "/v1/chat/completions": {"messages": asked, "vector_store_ids": [store]},
        "/v1/messages": {"max_tokens": 9, "messages": asked, "vector_store_ids": [store]},
        "/v1/responses": {"input": asked, "tools": [{"type": "file_search", "vector_store_ids": [store]}]},
        f"/v1/vector_stores/{store}/search": {"query": "code of the vault"},
    }


async def test_a_limited_key_gets_no_answer_from_another_store(world: World) -> None:
    async with (
        world.service.http(world.keys["limited reader"]) as limited,
        world.service.http(world.keys["reader"]) as reader,
    ):
        for path, body in questions(world.other_store).items():
            refused, answered = await limited.post(path, json=body), await reader.post(path, json=body)
            assert refused.status_code == 404, (path, refused.text)
            assert "4711" not in refused.text, path
            assert answered.status_code == 200, (path, answered.text)
            assert "4711" in answered.text, path


async def test_tools_of_agents_are_limited_too(world: World) -> None:
    calls: list[tuple[str, dict[str, object]]] = [
        ("ask", {"question": "code of the vault", "vector_store_ids": [world.other_store]}),
        ("search", {"query": "code of the vault", "vector_store_ids": [world.other_store]}),
        ("read_text", {"file_id": world.secret_file}),
        ("read_text", {"file_id": world.secret_file, "vector_store_id": world.other_store}),
        ("list_files", {}),
    ]
    headers = {"accept": "application/json, text/event-stream"}
    async with world.service.http(world.keys["limited reader"]) as http:
        for name, arguments in calls:
            params = {"name": name, "arguments": arguments}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            result = (await http.post("/mcp", json=message, headers=headers)).json()["result"]
            assert result["isError"], (name, result)
            assert "4711" not in str(result)


async def test_responses_of_other_rights_are_not_there(world: World) -> None:
    question = questions(world.other_store)["/v1/responses"]
    async with world.service.http(world.keys["reader"]) as http:
        response = (await http.post("/v1/responses", json=question)).json()
        conversation = (await http.post("/v1/conversations", json={"metadata": {}})).json()
    async with world.service.http(world.keys["limited reader"]) as http:
        read = await http.get(f"/v1/responses/{response['id']}")
        continued = await http.post("/v1/responses", json={"input": "again", "previous_response_id": response["id"]})
        talked = await http.get(f"/v1/conversations/{conversation['id']}")
        own = (await http.post("/v1/conversations", json={"metadata": {"a": "b"}})).json()
        same = await http.get(f"/v1/conversations/{own['id']}")

    assert [each.status_code for each in (read, continued, talked, same)] == [404, 404, 404, 200]
