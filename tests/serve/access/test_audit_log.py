"""The audit log over HTTP: who changed what, who was denied what, and no text and no key in it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from models.corpus.api_keys import ROLES, digest_of
from models.corpus.audit_log import AuditEvent
from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest
from models.errors.access import UnauthorizedError
from serve.access.caller import Caller
from serve.api.denials import Denials, address_of
from serve.settings import ApiConfig
from tests.serve.api.api_samples import Clock, Running, running

NEWEST = PageRequest(100, None, "desc")
TEXT = b"The code of the vault is 4711."


@dataclass(frozen=True)
class Audited:
    service: Running
    keys: dict[str, str]
    ids: dict[str, str]

    def http(self, key: str) -> httpx.AsyncClient:
        return self.service.http(self.keys[key])

    async def events(self, key: str = "admin") -> list[dict[str, object]]:
        """Those over HTTP, newest first."""
        async with self.http(key) as http:
            listed = await http.get("/v1/audit_log", params={"limit": 100})
        events: list[dict[str, object]] = listed.json()["data"]
        return [event for event in events if event["actor"] != "command line"]


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Audited]:
    keys_file = tmp_path / "keys.yaml"
    keys_file.write_text(f"unused: [{'a' * 64}]\n")
    async with running(tmp_path, Clock(), keys_file) as service:
        made = {role: service.corpus.api_keys.create("acme", role, role) for role in ROLES}
        made["stranger"] = service.corpus.api_keys.create("globex", "stranger", "admin")
        keys = {name: secret for name, (_, secret) in made.items()}
        yield Audited(service, keys, {name: key.key_id for name, (key, _) in made.items()})


async def test_changes_and_denials_are_recorded_by_their_ids(audited: Audited) -> None:
    async with audited.http("writer") as http:
        uploaded = await http.post("/v1/files", files={"file": ("vault.md", TEXT)})
        file_id = uploaded.json()["id"]
        await http.post("/v1/vector_stores/default/files", json={"file_id": file_id})
        await http.post("/v1/query", json={"query": "What is the code of the vault?"})
        await http.post("/v1/files", files={"file": ("vault.md", b"")})
    async with audited.http("reader") as http:
        denied = await http.delete(f"/v1/files/{file_id}")

    events = await audited.events()
    assert denied.status_code == 403
    assert [(event["actor"], event["action"], event["status"], event["ids"]) for event in events] == [
        (audited.ids["reader"], "DELETE /v1/files/{file_id}", 403, {"file_id": file_id}),
        (
            audited.ids["writer"],
            "POST /v1/vector_stores/{vector_store_id}/files",
            200,
            {"vector_store_id": "default", "id": file_id},
        ),
        (audited.ids["writer"], "POST /v1/files", 200, {"id": file_id}),
    ]
    assert events[2]["request_id"] == uploaded.headers["x-request-id"]
    text = json.dumps(events)
    assert not any(secret in text for secret in [*audited.keys.values(), "4711", "vault"])


async def test_a_tenant_reads_its_own_events_page_by_page(audited: Audited) -> None:
    for number in range(3):
        audited.service.corpus.audit_log.add(
            "globex", AuditEvent("key_x", "POST /v1/files", 200, ids={"n": str(number)})
        )
    async with audited.http("stranger") as http:
        first = (await http.get("/v1/audit_log", params={"limit": 2})).json()
        second = (await http.get("/v1/audit_log", params={"limit": 2, "after": first["last_id"]})).json()
    async with audited.http("writer") as http:
        denied = await http.get("/v1/audit_log")

    assert [event["ids"] for event in first["data"]] == [{"n": "2"}, {"n": "1"}]
    assert (first["has_more"], second["data"][0]["ids"]) == (True, {"n": "0"})
    assert denied.status_code == 403
    assert "globex" not in json.dumps(await audited.events())


def test_changes_of_keys_are_recorded_without_the_key(audited: Audited) -> None:
    keys = audited.service.corpus.api_keys
    key, secret = keys.create("initech", "portal", "reader")
    successor, _ = keys.rotate(key.key_id, 60)
    keys.revoke(key.key_id)

    page = audited.service.corpus.audit_log.page("initech", NEWEST)
    assert [(each.event.action, each.event.ids["key_id"]) for each in page.items] == [
        ("ragserve keys revoke", key.key_id),
        ("ragserve keys rotate", key.key_id),
        ("ragserve keys create", successor.key_id),
        ("ragserve keys create", key.key_id),
    ]
    assert secret not in repr(page)


async def test_a_denial_that_is_repeated_at_once_is_recorded_once(
    audited: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.api.denials.DENIAL_S", 3600.0)
    async with audited.http("reader") as http:
        denied = [await http.delete("/v1/files/file-1") for _ in range(5)]
        other = await http.delete("/v1/vector_stores/default")

    assert {response.status_code for response in (*denied, other)} == {403}
    assert [event["action"] for event in await audited.events()] == [
        "DELETE /v1/vector_stores/{vector_store_id}",
        "DELETE /v1/files/{file_id}",
    ]


async def test_requests_without_a_valid_key_are_recorded(audited: Audited) -> None:
    keys = audited.service.corpus.api_keys
    key, secret = keys.create("acme", "old", "reader")
    keys.revoke(key.key_id)
    operator = keys.create("default", "operator", "admin")[1]
    forwarded = {"x-forwarded-for": "203.0.113.9, 198.51.100.7"}
    async with audited.service.http("rag-guessed") as http:
        await http.get("/v1/files/file-1", headers=forwarded)
        await http.post("/v1/query", json={"query": "What is the code?"}, headers=forwarded)
    async with audited.service.http(secret) as http:
        await http.get("/v1/files")
    async with audited.service.http() as http:
        await http.get("/v1/files")
    async with audited.service.http(operator) as http:
        unknown = (await http.get("/v1/audit_log")).json()["data"]

    names = ("actor", "action", "status", "address")
    digest = f"digest:{digest_of('rag-guessed')[:8]}"
    assert [tuple(event[name] for name in names) for event in unknown if event["status"] == 401] == [
        ("no credential", "GET /v1/files", 401, "127.0.0.1"),
        (digest, "POST /v1/query", 401, "198.51.100.7"),
        (digest, "GET /v1/files/{file_id}", 401, "198.51.100.7"),
    ]
    (revoked,) = [event for event in await audited.events() if event["status"] == 401]
    assert (revoked["actor"], revoked["address"]) == (key.key_id, "127.0.0.1")
    assert not any(text in json.dumps(unknown) for text in ("guessed", secret, "What is"))


async def test_an_attacker_fills_no_disk(tmp_path: Path) -> None:
    corpus, now_s = Corpus.open(f"sqlite:///{tmp_path / 'corpus.db'}", tmp_path / "files"), [0.0]
    denials = Denials(lambda: now_s[0])
    scope = {"type": "http", "headers": [], "state": {}, "client": ("192.0.2.1", 1)}
    for number in range(500):
        error = UnauthorizedError("unknown", actor=f"digest:{number}")
        await denials.record_unauthorized(corpus.audit_log, "default", "GET /v1/files", scope, error)
    await denials.record_forbidden(corpus.audit_log, Caller("default", actor="key_1"), "GET /v1/audit_log", scope)
    now_s[0] += 60
    await denials.record_unauthorized(corpus.audit_log, "default", "GET /v1/files", scope, error)

    events = [each.event for each in corpus.audit_log.page("default", NEWEST).items]
    corpus.close()
    assert [event.status for event in events] == [401, 403, *[401] * 60]
    assert events[0].ids == {"unrecorded": "440"}


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [("nonsense", "192.0.2.1"), ("", "192.0.2.1"), ("10.0.0.1, 2001:db8::1", "2001:db8::1"), ("x" * 9000, "192.0.2.1")],
)
def test_the_address_is_one(forwarded: str, address: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())]

    assert address_of({"type": "http", "headers": headers, "client": ("192.0.2.1", 1)}) == address


async def test_it_can_be_off(audited: Audited) -> None:
    current = audited.service.app.state.services.settings.api
    audited.service.replace(api=ApiConfig(**dict(current) | {"audit_log": False}))
    async with audited.http("writer") as http:
        await http.post("/v1/vector_stores", json={"name": "a"})

    assert await audited.events() == []


def test_old_events_are_deleted(audited: Audited) -> None:
    log = audited.service.corpus.audit_log
    log.add("acme", AuditEvent("key_x", "POST /v1/files", 200))

    assert log.delete_older(3600) == 0
    assert log.delete_older(-1) > 0
    assert log.page("acme", NEWEST).items == ()
