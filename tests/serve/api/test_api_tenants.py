"""Every route of the application, called without a key, and by a tenant that has guessed another one's ids."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi.routing import APIRoute

from serve.access.keys import digest_of
from tests.serve.api.api_samples import Clock, Running, ingested, running

Route = tuple[str, str]
Calls = dict[Route, dict[str, Any]]

OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
SECRET = "marzipan"
QUESTION = f"What is the password {SECRET} for?"

STORE = "/v1/vector_stores/{vector_store_id}"
FILE = f"{STORE}/files/{{file_id}}"
BATCH = f"{STORE}/file_batches/{{batch_id}}"

# What a stranger sends to each route whose path names something of the owner's: 404, as for what never was.
NAMES_SOMETHING: Calls = {
    ("GET", "/v1/files/{file_id}"): {},
    ("DELETE", "/v1/files/{file_id}"): {},
    ("GET", "/v1/files/{file_id}/content"): {},
    ("PUT", "/v1/files/{file_id}/content"): {"content": b"mine now"},
    ("GET", "/v1/files/{file_id}/text"): {},
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
    ("POST", f"{STORE}/search"): {"json": {"query": QUESTION}},
}
# To the routes that name it in the body, or nowhere.
NAMES_IN_THE_BODY: Calls = {
    ("POST", "/v1/query"): {"json": {"query": QUESTION, "vector_store_ids": ["{vector_store_id}"]}},
    ("POST", "/v1/chat/completions"): {
        "json": {"messages": [{"role": "user", "content": QUESTION}], "vector_store_ids": ["{vector_store_id}"]}
    },
    ("POST", "/v1/vector_stores"): {"json": {"name": "mine", "file_ids": ["{file_id}"]}},
}
# And to the same, without a name of the owner's: the answer has nothing of the owner's in it.
NAMES_NOTHING: Calls = {
    ("POST", "/v1/query"): {"json": {"query": QUESTION}},
    ("POST", "/v1/chat/completions"): {"json": {"messages": [{"role": "user", "content": QUESTION}]}},
    ("POST", "/v1/vector_stores"): {"json": {"name": "mine"}},
    ("GET", "/v1/vector_stores"): {},
    ("POST", "/v1/files"): {"files": {"file": ("mine.md", b"mine")}},
    ("GET", "/v1/files"): {},
    ("POST", "/v1/completions"): {"json": {"model": "extractive", "prompt": QUESTION}},
    ("POST", "/v1/embeddings"): {"json": {"input": QUESTION}},
    **{
        ("POST", path): {"json": {"query": QUESTION, "documents": ["mine"]}}
        for path in ("/v1/rerank", "/v2/rerank", "/rerank")
    },
    ("GET", "/v1/models"): {},
    ("GET", "/v1/models/{model_id}"): {},
}


@dataclass(frozen=True)
class Owned:
    """What one tenant has, by the names of the paths' parameters."""

    file_id: str
    vector_store_id: str
    batch_id: str
    model_id: str = "ragserve"

    def fill(self, template: Any) -> Any:
        """The path, or body, with its placeholders filled in."""
        if isinstance(template, str):
            return template.format(**vars(self)) if "{" in template else template
        if isinstance(template, dict):
            return {key: self.fill(value) for key, value in template.items()}
        return [self.fill(value) for value in template] if isinstance(template, list) else template


NEVER_WAS = Owned("file-none", "vs_none", "vsfb_none")


@pytest.fixture
async def service(tmp_path: Path, clock: Clock) -> AsyncIterator[Running]:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"owner: [{digest_of('owner-key')}]\nstranger: [{digest_of('stranger-key')}]\n")
    async with running(tmp_path, clock, keys) as started:
        yield started


@pytest.fixture
async def owner(service: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with service.official("owner-key") as made:
        yield made


@pytest.fixture
async def stranger(service: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with service.http("stranger-key") as made:
        yield made


@pytest.fixture
async def owned(owner: openai.AsyncOpenAI) -> Owned:
    made = await owner.vector_stores.create(name=f"store of {SECRET}")
    text = f"The password {SECRET} is for the east gate.".encode()
    file_id = await ingested(owner, f"{SECRET}.md", text, made.id, attributes={"word": SECRET})
    await ingested(owner, f"{SECRET}.md", text, "default")
    batch = await owner.vector_stores.file_batches.create(made.id, file_ids=[file_id])
    return Owned(file_id, made.id, batch.id)


def routes(service: Running) -> set[Route]:
    found = [route for route in service.app.routes if isinstance(route, APIRoute)]
    return {(method, route.path) for route in found for method in route.methods}


async def call(client: httpx.AsyncClient, route: Route, request: dict[str, Any], ids: Owned) -> httpx.Response:
    method, path = route
    return await client.request(method, ids.fill(path), **{name: ids.fill(value) for name, value in request.items()})


def anonymous(response: httpx.Response, ids: Owned) -> str:
    """The body without the ids in it."""
    text = response.text
    for value in vars(ids).values():
        text = text.replace(value, "…")
    return text


def test_every_route_is_here(service: Running) -> None:
    assert routes(service) == OPEN | NAMES_SOMETHING.keys() | NAMES_IN_THE_BODY.keys() | NAMES_NOTHING.keys()


@pytest.mark.parametrize("header", [None, "Bearer wrong-key", "Basic owner-key"])
async def test_without_a_key_only_the_probes_are_open(service: Running, owned: Owned, header: str | None) -> None:
    async with service.http() as nobody:
        nobody.headers.update({} if header is None else {"authorization": header})
        for route in sorted(routes(service)):
            request = (NAMES_SOMETHING | NAMES_NOTHING).get(route, {})
            response = await call(nobody, route, request, owned)
            if route in OPEN:
                assert response.status_code in (200, 503), route
                continue
            assert response.status_code == 401, route
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error"]["code"] == "invalid_api_key"
            assert SECRET not in response.text


async def test_openais_client_raises_its_own_error_without_a_key(service: Running) -> None:
    async with service.official("wrong-key") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.files.list()


async def test_a_refused_caller_is_not_even_read(service: Running) -> None:
    async with service.http("wrong-key") as nobody:
        response = await nobody.post("/v1/query", content=b"{not json")

    assert response.status_code == 401


@pytest.mark.parametrize("calls", [NAMES_SOMETHING, NAMES_IN_THE_BODY], ids=["in the path", "in the body"])
async def test_anothers_ids_are_as_unknown_as_those_that_never_were(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned, calls: Calls
) -> None:
    for route, request in calls.items():
        guessed = await call(stranger, route, request, owned)
        unknown = await call(stranger, route, request, NEVER_WAS)

        assert guessed.status_code == unknown.status_code == 404, (route, guessed.text)
        assert anonymous(guessed, owned) == anonymous(unknown, NEVER_WAS), route
        assert SECRET not in guessed.text, route
    await _check_untouched(owner, owned)


async def test_the_strangers_own_store_does_not_take_anothers_file(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned
) -> None:
    mine = (await stranger.post("/v1/vector_stores", json={"name": "mine"})).json()["id"]
    here = Owned(owned.file_id, mine, owned.batch_id)

    for route, request in NAMES_SOMETHING.items():
        if "{file_id}" in route[1] + str(request) or "{batch_id}" in route[1]:
            assert (await call(stranger, route, request, here)).status_code == 404, route
    await _check_untouched(owner, owned)


async def test_what_names_nothing_shows_nothing_of_anothers(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned
) -> None:
    for route, request in NAMES_NOTHING.items():
        response = await call(stranger, route, request, owned)

        # The extractive model answers from documents alone, whoever asks.
        expected = 422 if route == ("POST", "/v1/completions") else 200
        assert response.status_code == expected, (route, response.text)
        shown = response.text.replace(QUESTION, "")
        assert SECRET not in shown, route
        assert owned.file_id not in shown, route
        assert owned.vector_store_id not in shown, route
    await _check_untouched(owner, owned)


async def test_the_default_store_of_one_tenant_is_not_the_others(stranger: httpx.AsyncClient, owned: Owned) -> None:
    for mode in ("auto", "hybrid", "dense", "lexical"):
        body = {"query": [QUESTION, SECRET], "mode": mode}
        assert (await stranger.post("/v1/vector_stores/default/search", json=body)).json()["data"] == []


async def test_deleting_the_default_store_deletes_ones_own(
    stranger: httpx.AsyncClient, owner: openai.AsyncOpenAI, owned: Owned
) -> None:
    assert (await stranger.delete("/v1/vector_stores/default")).status_code == 200

    found = await owner.vector_stores.search("default", query=QUESTION)
    assert [one.file_id for one in found.data] == [owned.file_id]


async def _check_untouched(owner: openai.AsyncOpenAI, owned: Owned) -> None:
    """The owner still has everything, as it was."""
    store = await owner.vector_stores.retrieve(owned.vector_store_id)
    assert (store.name, store.file_counts.completed, store.file_counts.total) == (f"store of {SECRET}", 1, 1)
    (found,) = (await owner.vector_stores.search(owned.vector_store_id, query=QUESTION)).data
    assert (found.file_id, found.attributes) == (owned.file_id, {"word": SECRET})
    assert SECRET in found.content[0].text
    file = await owner.files.retrieve(owned.file_id)
    assert (file.filename, file.version) == (f"{SECRET}.md", 1)
