"""Documents with readers: each way to a text, tried by who may read it and by who may not, with tokens of an issuer."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.access.readers import MAX_COMPARISONS, readers_of
from serve.access.roles import LISTINGS, OPERATIONS
from serve.settings import Settings
from tests.inline import ingest
from tests.serve.access.issuer import AUDIENCE, Issuer
from tests.serve.api.response_samples import Service, serving

SECRET, TEXT = "4711", "The code of the vault is 4711."
QUESTION = "What is the code of the vault?"
STORE = "/v1/vector_stores/default"


@dataclass(frozen=True)
class World:
    """A file for everyone, one for the group hr, one for ann, and one without readers."""

    service: Service
    issuer: Issuer
    vault: str
    diary: str
    unread: str

    def http(self, user: str, groups: tuple[str, ...] = (), role: str = "reader") -> httpx.AsyncClient:
        token = self.issuer.token(sub=user, groups=list(groups), role=role, tenant="default")
        transport = httpx.ASGITransport(app=self.service.app)
        headers = {"authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://ragserve", headers=headers)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    issuer = Issuer()
    oidc = {"issuer": issuer.url, "audience": AUDIENCE, "groups_claim": "groups"}
    settings = Settings.model_validate({"api": {"oidc": oidc}, "query": {"decline": False}})
    async with serving(tmp_path, settings) as service:
        corpus = service.app.state.services.corpus
        vault, diary, unread = [
            await ingest(corpus, name, text.encode())
            for name, text in (("vault.md", TEXT), ("diary.md", "Ann met Bob at the old mill."), ("new.md", "Unread."))
        ]
        for file_id, reader in ((service.file_id, "everyone"), (vault, "group:hr"), (diary, "user:ann")):
            corpus.store_files.set_attributes("default", "default", file_id, {f"reader:{reader}": True})
        yield World(service, issuer, vault, diary, unread)
    issuer.close()


def questions() -> dict[str, dict[str, Any]]:
    asked = [{"role": "user", "content": QUESTION}]
    return {
        "/v1/query": {"query": QUESTION},
        "/v1/chat/completions": {"messages": asked, "vector_store_ids": ["default"]},
        "/v1/messages": {"max_tokens": 99, "messages": asked, "vector_store_ids": ["default"]},
        "/v1/responses": {"input": QUESTION, "tools": [{"type": "file_search", "vector_store_ids": ["default"]}]},
        f"{STORE}/search": {"query": QUESTION},
    }


async def test_an_answer_is_made_from_what_the_caller_may_read(world: World) -> None:
    """The member of the group goes first, so that caches have the answer."""
    async with world.http("bob", ("hr", "staff")) as member, world.http("eve", ("staff",)) as other:
        for path, body in questions().items():
            for _ in range(2):
                answered, denied = await member.post(path, json=body), await other.post(path, json=body)
                assert (answered.status_code, denied.status_code) == (200, 200), (path, denied.text)
                assert SECRET in answered.text, path
                assert SECRET not in denied.text, path
                assert world.vault not in denied.text, path
        filtered = {"query": QUESTION, "filters": {"type": "eq", "key": "reader:group:hr", "value": True}}
        assert SECRET not in (await other.post("/v1/query", json=filtered)).text
        everyone = await other.post("/v1/query", json={"query": "How hot does the oven get?"})
        assert "250 degrees" in everyone.json()["answer"]


async def test_files_and_their_texts_are_there_for_their_readers_alone(world: World) -> None:
    paths = [
        "/v1/files/{id}",
        "/v1/files/{id}/content",
        "/v1/files/{id}/text",
        "/v1/files/{id}/text?vector_store_id=default",
        STORE + "/files/{id}",
        STORE + "/files/{id}/content",
    ]
    async with world.http("ann") as ann, world.http("bob", ("hr",)) as bob:
        for path in paths:
            statuses = {
                name: [(await http.get(path.format(id=file_id))).status_code for http in (ann, bob)]
                for name, file_id in (
                    ("everyone", world.service.file_id),
                    ("vault", world.vault),
                    ("diary", world.diary),
                    ("unread", world.unread),
                )
            }
            assert statuses == {
                "everyone": [200, 200],
                "vault": [404, 200],
                "diary": [200, 404],
                "unread": [404, 404],
            }, path
        for path in ("/v1/files", f"{STORE}/files", "/v1/vector_stores"):
            assert (await ann.get(path)).status_code == 403, path


async def test_tools_of_agents_see_what_the_caller_may_read(world: World) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ask", {"question": QUESTION}),
        ("search", {"query": QUESTION}),
        ("read_text", {"file_id": world.vault}),
        ("list_files", {}),
    ]
    headers = {"accept": "application/json, text/event-stream"}
    async with world.http("bob", ("hr",)) as member, world.http("eve") as other:
        for name, arguments in calls:
            params = {"name": name, "arguments": arguments}
            message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answered, denied = [(await http.post("/mcp", json=message, headers=headers)) for http in (member, other)]
            assert SECRET not in denied.text, name
            assert (SECRET in answered.text) == (name != "list_files"), (name, answered.text)


async def test_conversations_and_responses_are_the_users_own(world: World) -> None:
    question = questions()["/v1/responses"]
    async with world.http("bob", ("hr",)) as bob, world.http("eve", ("hr",)) as eve:
        response = (await bob.post("/v1/responses", json=question)).json()
        conversation = (await bob.post("/v1/conversations", json={})).json()
        read = await eve.get(f"/v1/responses/{response['id']}")
        continued = await eve.post("/v1/responses", json={"input": "Again", "previous_response_id": response["id"]})
        talked = await eve.get(f"/v1/conversations/{conversation['id']}")
    async with world.http("bob") as later:  # without the group
        own = await later.get(f"/v1/conversations/{conversation['id']}")

    assert [each.status_code for each in (read, continued, talked, own)] == [404, 404, 404, 200]


async def test_writers_read_all_documents(world: World) -> None:
    async with world.http("carl", role="writer") as writer:
        answered = await writer.post("/v1/query", json={"query": QUESTION})
        listed = await writer.get("/v1/files")

    assert SECRET in answered.text
    assert len(listed.json()["data"]) == 4


async def test_a_reader_who_loses_the_group_finds_nothing_more(world: World) -> None:
    async with world.http("bob", ("hr",)) as before, world.http("bob") as after:
        assert SECRET in (await before.post("/v1/query", json={"query": QUESTION})).text
        assert SECRET not in (await after.post("/v1/query", json={"query": QUESTION})).text


async def test_every_route_keeps_a_file_from_those_who_may_not_read_it(world: World) -> None:
    """Each route of the table, for a reader of no group: what concerns all documents is a 403, another's file a 404."""
    ids = {"vector_store_id": "default", "file_id": world.vault, "model_id": "extractive"}
    async with world.http("eve") as eve:
        for operation, (role, takes_limited) in OPERATIONS.items():
            method, template = operation.split(" ")
            path = re.sub(r"\{(\w+)\}", lambda match: ids.get(match[1], "unknown"), template)
            response = await eve.request(method, path, content=b"{}" if method in ("POST", "PUT") else None)

            is_allowed = role == "reader" and takes_limited and operation not in LISTINGS
            assert (response.status_code == 403) != is_allowed, (operation, response.text)
            if is_allowed and "{file_id}" in operation:
                assert response.status_code == 404, (operation, response.text)
            assert SECRET not in response.text, operation


async def test_no_filter_is_drawn_from_a_file_that_the_caller_may_not_read(world: World) -> None:
    """`searches` shows what was drawn: it would name hidden files, and values that only they have."""
    corpus = world.service.app.state.services.corpus
    corpus.store_files.set_attributes("default", "default", world.vault, {"reader:group:hr": True, "year": 2026})
    body = {"query": "In the vault, what was the code in 2026?", "query_understanding": {"filters": True}}
    async with world.http("bob", ("hr",)) as member, world.http("eve") as other:
        drawn, hidden = [(await http.post("/v1/query", json=body)).json()["searches"] for http in (member, other)]

    assert [name["key"] for name in drawn[0]["filters"]] == ["year", "filename"]
    assert hidden == []


async def test_duplicates_name_only_files_that_the_caller_may_read(world: World) -> None:
    """That another file has the same text would say what is in it."""
    corpus = world.service.app.state.services.corpus
    texts = " ".join(f"The oven number {number} heats to {number} degrees." for number in range(30)).encode()
    async with world.http("carl", role="writer") as writer, world.http("ann") as ann:
        changed = await writer.post(STORE, json={"enrichment": {"near_duplicates": True}})
        assert changed.status_code == 200, changed.text
        ids = [await ingest(corpus, f"{name}.md", texts) for name in ("for-ann", "for-all", "hidden")]
        for file_id, reader in zip(ids, ("user:ann", "everyone", "group:hr"), strict=True):
            corpus.store_files.set_attributes("default", "default", file_id, {f"reader:{reader}": True})
        seen = [(await http.get(f"{STORE}/files/{ids[0]}")).json()["duplicates"] for http in (writer, ann)]

    assert [{each["file_id"] for each in duplicates} for duplicates in seen] == [set(ids[1:]), {ids[1]}]


def test_names_that_no_attribute_can_have_are_left_out() -> None:
    names = readers_of("ann", ["hr", "x" * 64, 7, "a\0", "a\ud800", *(f"group {number}" for number in range(100))])

    assert {"everyone", "user:ann", "group:hr"} <= names
    assert len(names) == MAX_COMPARISONS
    assert not any("x" * 64 in name or "a\0" in name or "\ud800" in name for name in names)
