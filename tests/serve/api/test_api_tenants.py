"""Call every route without a key, and as a tenant that has guessed another tenant's ids."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi.routing import APIRoute

from serve.access.keys import digest_of
from tests.serve.api.api_samples import Clock, Running, ingest_file, running

Route = tuple[str, str]
Calls = dict[Route, dict[str, Any]]

PROBES = {("GET", "/healthz"), ("GET", "/readyz"), ("HEAD", "/healthz"), ("HEAD", "/readyz"), ("GET", "/metrics")}
PAGE = {(method, path) for method in ("GET", "HEAD") for path in ("/", "/docs", "/page/{name}")}  # without any data
OPEN = PROBES | PAGE
SECRET = "marzipan"
QUESTION = f"What is the password {SECRET} for?"

STORE = "/v1/vector_stores/{vector_store_id}"
FILE = f"{STORE}/files/{{file_id}}"
BATCH = f"{STORE}/file_batches/{{batch_id}}"
RESPONSE = "/v1/responses/{response_id}"
CONVERSATION = "/v1/conversations/{conversation_id}"
ITEM = f"{CONVERSATION}/items/{{item_id}}"
FEEDBACK = "/v1/feedback/{feedback_id}"

# A stranger calls each route whose path has an id of the owner: 404, as for an id that does not exist.
ID_IN_PATH: Calls = {
    ("GET", "/v1/files/{file_id}"): {},
    ("DELETE", "/v1/files/{file_id}"): {},
    ("GET", "/v1/files/{file_id}/content"): {},
    ("PUT", "/v1/files/{file_id}/content"): {"content": b"mine now"},
    ("GET", "/v1/files/{file_id}/text"): {},
    ("GET", "/v1/files/{file_id}/versions"): {},
    ("GET", "/v1/files/{file_id}/versions/{version}/content"): {},
    ("POST", "/v1/files/{file_id}/versions/{version}/restore"): {},
    ("GET", STORE): {},
    ("POST", STORE): {"json": {"name": "mine now"}},
    ("DELETE", STORE): {},
    ("GET", f"{STORE}/files"): {},
    ("POST", f"{STORE}/files"): {"json": {"file_id": "{file_id}"}},
    ("GET", FILE): {},
    ("POST", FILE): {"json": {"attributes": {"owner": "me"}}},
    ("DELETE", FILE): {},
    ("GET", f"{FILE}/content"): {},
    ("POST", f"{STORE}/file_batches"): {"json": {"file_ids": ["{file_id}"]}},
    ("GET", BATCH): {},
    ("POST", f"{BATCH}/cancel"): {},
    ("GET", f"{BATCH}/files"): {},
    ("GET", f"{STORE}/index"): {},
    ("POST", f"{STORE}/delete_by_filter"): {"json": {"filters": {"type": "ne", "key": "x", "value": 1}}},
    ("POST", f"{STORE}/update_by_filter"): {
        "json": {"filters": {"type": "ne", "key": "x", "value": 1}, "attributes": {"owner": "me"}}
    },
    ("POST", f"{STORE}/search"): {"json": {"query": QUESTION}},
    ("GET", RESPONSE): {},
    ("DELETE", RESPONSE): {},
    ("POST", f"{RESPONSE}/cancel"): {},
    ("GET", f"{RESPONSE}/input_items"): {},
    ("GET", CONVERSATION): {},
    ("POST", CONVERSATION): {"json": {"metadata": {"owner": "me"}}},
    ("DELETE", CONVERSATION): {},
    ("GET", f"{CONVERSATION}/items"): {},
    ("POST", f"{CONVERSATION}/items"): {"json": {"items": [{"role": "user", "content": "mine"}]}},
    ("GET", ITEM): {},
    ("DELETE", ITEM): {},
    ("GET", FEEDBACK): {},
    ("DELETE", FEEDBACK): {},
    ("DELETE", "/v1/user_facts/{fact_id}"): {"params": {"user": "ann"}},
}
# Routes that have the id in the body.
ID_IN_BODY: Calls = {
    ("POST", "/v1/query"): {"json": {"query": QUESTION, "vector_store_ids": ["{vector_store_id}"]}},
    ("POST", "/v1/chat/completions"): {
        "json": {"messages": [{"role": "user", "content": QUESTION}], "vector_store_ids": ["{vector_store_id}"]}
    },
    ("POST", "/v1/vector_stores"): {"json": {"name": "mine", "file_ids": ["{file_id}"]}},
    ("POST", "/v1/responses"): {"json": {"input": QUESTION, "previous_response_id": "{response_id}"}},
    ("POST", "/v1/responses/input_tokens"): {"json": {"previous_response_id": "{response_id}"}},
    ("POST", "/v1/responses/compact"): {"json": {"previous_response_id": "{response_id}"}},
    ("POST", "/v1/feedback"): {"json": {"id": "{feedback_id}", "rating": "bad", "file_ids": ["{file_id}"]}},
}
# Routes without an id of the owner: the response has nothing that the owner stored.
NO_ID: Calls = {
    ("POST", "/v1/query"): {"json": {"query": QUESTION}},
    ("POST", "/v1/chat/completions"): {"json": {"messages": [{"role": "user", "content": QUESTION}]}},
    ("POST", "/v1/vector_stores"): {"json": {"name": "mine"}},
    ("GET", "/v1/vector_stores"): {},
    ("POST", "/v1/files"): {"files": {"file": ("mine.md", b"mine")}},
    ("GET", "/v1/files"): {},
    ("GET", "/v1/audit_log"): {},
    ("POST", "/v1/completions"): {"json": {"model": "extractive", "prompt": QUESTION}},
    ("POST", "/v1/messages"): {"json": {"max_tokens": 9, "messages": [{"role": "user", "content": QUESTION}]}},
    ("POST", "/v1/messages/count_tokens"): {"json": {"messages": [{"role": "user", "content": QUESTION}]}},
    ("POST", "/v1/responses"): {"json": {"input": QUESTION}},
    ("POST", "/v1/responses/input_tokens"): {"json": {"input": QUESTION}},
    ("POST", "/v1/responses/compact"): {"json": {"input": QUESTION}},
    ("POST", "/mcp"): {
        "json": {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "search", "arguments": {"query": QUESTION}},
        },
        "headers": {"accept": "application/json, text/event-stream"},
    },
    ("POST", "/v1/conversations"): {"json": {}},
    ("POST", "/v1/embeddings"): {"json": {"input": QUESTION}},
    **{
        ("POST", path): {"json": {"query": QUESTION, "documents": ["mine"]}}
        for path in ("/v1/rerank", "/v2/rerank", "/rerank")
    },
    ("POST", "/v1/feedback"): {"json": {"id": "{feedback_id}", "rating": "bad"}},
    ("GET", "/v1/feedback"): {},
    ("GET", "/v1/user_facts"): {"params": {"user": "ann"}},
    ("DELETE", "/v1/user_facts"): {"params": {"user": "ann"}},
    ("GET", "/v1/dead_letters"): {},
    ("POST", "/v1/dead_letters/replay"): {"json": {"reason": "invalid_file"}},
    ("GET", "/v1/models"): {},
    ("GET", "/v1/models/{model_id}"): {},
}


@dataclass(frozen=True)
class Owned:
    """The ids of one tenant, named as in the paths."""

    file_id: str
    vector_store_id: str
    batch_id: str
    response_id: str
    conversation_id: str
    item_id: str
    feedback_id: str
    fact_id: str
    model_id: str = "ragserve"
    version: str = "1"

    def fill(self, template: Any) -> Any:
        """A path or body with its placeholders filled in."""
        if isinstance(template, str):
            return template.format(**vars(self)) if "{" in template else template
        if isinstance(template, dict):
            return {key: self.fill(value) for key, value in template.items()}
        return [self.fill(value) for value in template] if isinstance(template, list) else template


UNKNOWN = Owned("file-none", "vs_none", "vsfb_none", "resp_none", "conv_none", "msg_none", "req_none", "fact_none")


@pytest.fixture
async def service(tmp_path: Path, clock: Clock) -> AsyncIterator[Running]:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"owner: [{digest_of('owner-key')}]\nstranger: [{digest_of('stranger-key')}]\n")
    async with running(tmp_path, clock, keys) as started:
        yield started


@pytest.fixture
async def owner(service: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with service.openai_client("owner-key") as opened:
        yield opened


@pytest.fixture
async def stranger(service: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with service.http("stranger-key") as opened:
        yield opened


@pytest.fixture
async def owned(service: Running, owner: openai.AsyncOpenAI) -> Owned:
    store = await owner.vector_stores.create(name=f"store of {SECRET}")
    text = f"The password {SECRET} is for the east gate.".encode()
    file_id = await ingest_file(owner, f"{SECRET}.md", text, store.id, attributes={"word": SECRET})
    await ingest_file(owner, f"{SECRET}.md", text, "default")
    batch = await owner.vector_stores.file_batches.create(store.id, file_ids=[file_id])
    response = await owner.responses.create(input=QUESTION)
    conversation = await owner.conversations.create(items=[{"role": "user", "content": SECRET}])
    (item,) = (await owner.conversations.items.list(conversation.id)).data
    judgement = {"id": "req_owner", "rating": "good", "comment": SECRET, "file_ids": [file_id]}
    await owner.post("/feedback", body=judgement, cast_to=object)
    service.corpus.user_facts.add("owner", "ann", [f"My word is {SECRET}."])
    (fact,) = service.corpus.user_facts.of_user("owner", "ann", "")
    return Owned(file_id, store.id, batch.id, response.id, conversation.id, item.id, "req_owner", fact.fact_id)


def routes(service: Running) -> set[Route]:
    api_routes = [route for route in service.app.routes if isinstance(route, APIRoute)]
    return {(method, route.path) for route in api_routes for method in route.methods}


async def call(client: httpx.AsyncClient, route: Route, request: dict[str, Any], ids: Owned) -> httpx.Response:
    method, path = route
    return await client.request(method, ids.fill(path), **{name: ids.fill(value) for name, value in request.items()})


def without_ids(response: httpx.Response, ids: Owned) -> str:
    """The body without the ids in it."""
    text = response.text
    for value in vars(ids).values():
        text = text.replace(value, "…")
    return text


def test_every_route_is_covered(service: Running) -> None:
    assert routes(service) == OPEN | ID_IN_PATH.keys() | ID_IN_BODY.keys() | NO_ID.keys()


@pytest.mark.parametrize("header", [None, "Bearer wrong-key", "Basic owner-key"])
async def test_only_the_probes_and_the_page_are_open_without_a_key(
    service: Running, owned: Owned, header: str | None
) -> None:
    async with service.http() as anonymous_client:
        anonymous_client.headers.update({} if header is None else {"authorization": header})
        for route in sorted(routes(service) - {("GET", "/page/{name}"), ("HEAD", "/page/{name}")}):
            request = (ID_IN_PATH | NO_ID).get(route, {})
            response = await call(anonymous_client, route, request, owned)
            if route in OPEN:
                assert response.status_code in (200, 503), route
                continue
            assert response.status_code == 401, route
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error"]["code"] == "invalid_api_key"
            assert SECRET not in response.text


async def test_openais_client_raises_its_own_error_without_a_key(service: Running) -> None:
    async with service.openai_client("wrong-key") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.files.list()


async def test_a_caller_without_a_key_is_refused_before_the_body_is_read(service: Running) -> None:
    async with service.http("wrong-key") as anonymous_client:
        response = await anonymous_client.post("/v1/query", content=b"{not json")

    assert response.status_code == 401


@pytest.mark.parametrize("calls", [ID_IN_PATH, ID_IN_BODY], ids=["in the path", "in the body"])
async def test_another_tenants_ids_look_unknown(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned, calls: Calls
) -> None:
    for route, request in calls.items():
        guessed = await call(stranger, route, request, owned)
        unknown = await call(stranger, route, request, UNKNOWN)

        assert guessed.status_code == unknown.status_code == 404, (route, guessed.text)
        assert without_ids(guessed, owned) == without_ids(unknown, UNKNOWN), route
        assert SECRET not in guessed.text, route
    await _check_untouched(owner, owned)


async def test_a_store_does_not_take_another_tenants_file(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned
) -> None:
    store_id = (await stranger.post("/v1/vector_stores", json={"name": "mine"})).json()["id"]
    own_store = replace(owned, vector_store_id=store_id)

    for route, request in ID_IN_PATH.items():
        if "{file_id}" in route[1] + str(request) or "{batch_id}" in route[1]:
            assert (await call(stranger, route, request, own_store)).status_code == 404, route
    await _check_untouched(owner, owned)


async def test_no_response_shows_another_tenants_content(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned
) -> None:
    for route, request in NO_ID.items():
        response = await call(stranger, route, request, owned)

        assert response.status_code == 200, (route, response.text)
        content = response.text.replace(QUESTION, "")
        assert SECRET not in content, route
        assert owned.file_id not in content, route
        assert owned.vector_store_id not in content, route
    await _check_untouched(owner, owned)


async def test_each_tenant_has_its_own_default_store(stranger: httpx.AsyncClient, owned: Owned) -> None:
    for mode in ("auto", "hybrid", "dense", "lexical"):
        body = {"query": [QUESTION, SECRET], "mode": mode}
        assert (await stranger.post("/v1/vector_stores/default/search", json=body)).json()["data"] == []


async def test_deleting_the_default_store_deletes_only_the_callers(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned
) -> None:
    assert (await stranger.delete("/v1/vector_stores/default")).status_code == 200

    results = await owner.vector_stores.search("default", query=QUESTION)
    assert [result.file_id for result in results.data] == [owned.file_id]


async def _check_untouched(owner: openai.AsyncOpenAI, owned: Owned) -> None:
    """The owner's files and stores have not changed."""
    store = await owner.vector_stores.retrieve(owned.vector_store_id)
    assert (store.name, store.file_counts.completed, store.file_counts.total) == (f"store of {SECRET}", 1, 1)
    (result,) = (await owner.vector_stores.search(owned.vector_store_id, query=QUESTION)).data
    assert (result.file_id, result.attributes) == (owned.file_id, {"word": SECRET})
    assert SECRET in result.content[0].text
    assert SECRET in (await owner.responses.retrieve(owned.response_id)).output_text
    conversation = await owner.conversations.retrieve(owned.conversation_id)
    items = await owner.conversations.items.list(owned.conversation_id)
    assert (conversation.metadata, [item.id for item in items.data]) == ({}, [owned.item_id])
    feedback: Any = await owner.get(f"/feedback/{owned.feedback_id}", cast_to=object)
    assert (feedback["rating"], feedback["comment"]) == ("good", SECRET)
    file = await owner.files.retrieve(owned.file_id)
    assert (file.filename, file.version) == (f"{SECRET}.md", 1)
