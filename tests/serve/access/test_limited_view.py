"""What a limited caller reaches of the corpus: denied by default, and each way around it closed."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from models.corpus.corpus import Corpus
from models.corpus.responses import StoredResponse
from models.errors.access import ForbiddenError
from serve.access.caller import Caller
from serve.api.limited_view import ALLOWED, APART, AS_STORED, limited_view
from serve.settings import Settings
from tests.serve.access.issuer import AUDIENCE, Issuer
from tests.serve.api.api_samples import Clock, Running, error_of, ingest_file, running
from tests.serve.api.response_samples import Service, serving

LIMITED = Caller("acme", "writer", frozenset(["vs_own"]))
# What a limited caller must never reach: each concerns documents of others, or the service itself.
DENIED: dict[str, set[str]] = {
    "files": {
        *("replace", "delete", "delete_expired", "usage"),
        *("versions", "version_content", "earlier_version", "restore", "trim_versions", "delete_leftovers"),
    },
    "vector_stores": {"create", "expire", "page", "delete"},
    "store_files": {"attributes_of"},
    "generations": {"required", "searched", "claim", "renew", "release", "pending", "add", "flip", "retire"},
    "responses": {"delete_older"},
    "conversations": {"delete_unused"},
}
NEVER = {
    *("jobs", "dead_letters", "outbox", "views", "positions", "feedback", "score_references", "turn_vectors"),
    *("embedding_references", "summaries", "user_facts", "api_keys", "audit_log", "monthly_costs", "log", "database"),
}


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Corpus]:
    opened = Corpus.open(f"sqlite:///{tmp_path / 'corpus.db'}", tmp_path / "files")
    yield opened
    opened.close()


def public_methods(store: object) -> set[str]:
    return {name for name in dir(type(store)) if not name.startswith("_") and callable(getattr(type(store), name))}


def test_every_method_of_the_corpus_is_classified(corpus: Corpus) -> None:
    """A new method must be put into ALLOWED or APART, after a look at what it may show, or into DENIED above."""
    for name in (field.name for field in fields(Corpus) if field.name not in NEVER):
        allowed = ALLOWED.get(name, frozenset()) | APART.get(name, frozenset())
        passed = AS_STORED & public_methods(getattr(corpus, name))
        denied = DENIED.get(name, set())
        assert public_methods(getattr(corpus, name)) == allowed | passed | denied, name
        assert not (allowed | passed) & denied


@pytest.mark.parametrize(
    "caller", [LIMITED, Caller("acme", "reader", readers=frozenset(["everyone"]))], ids=["stores", "readers"]
)
def test_what_is_not_allowed_is_refused(corpus: Corpus, caller: Caller) -> None:
    view = limited_view(corpus, caller)

    for name in (field.name for field in fields(Corpus)):
        for method in public_methods(getattr(corpus, name)):
            if method in ALLOWED.get(name, ()) or method in APART.get(name, ()) or method in AS_STORED:
                assert callable(getattr(getattr(view, name), method))
            else:
                with pytest.raises(ForbiddenError):
                    getattr(getattr(view, name), method)


def test_a_caller_with_all_rights_has_the_corpus_itself(corpus: Corpus) -> None:
    assert limited_view(corpus, Caller("acme", "writer")) is corpus


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    keys_file = tmp_path / "keys.yaml"
    keys_file.write_text(f"unused: [{'a' * 64}]\n")
    async with running(tmp_path, Clock(), keys_file) as started:
        yield started


async def test_a_limited_writer_attaches_no_file_of_another_store(service: Running) -> None:
    """Else it would read the file in its own store."""
    create = service.corpus.api_keys.create
    own, other = (service.corpus.vector_stores.create("acme", name).vector_store_id for name in ("own", "other"))
    admin, limited = create("acme", "admin", "admin")[1], create("acme", "limited", "writer", (own,))[1]
    async with service.openai_client(admin) as client:
        secret = await ingest_file(client, "vault.md", b"The code of the vault is 4711.", other)
    async with service.http(limited) as http:
        uploaded = await http.post("/v1/files", files={"file": ("oven.md", b"The oven heats to 250 degrees.")})
        attached = await http.post(f"/v1/vector_stores/{own}/files", json={"file_id": uploaded.json()["id"]})
        again = await http.post(f"/v1/vector_stores/{own}/files", json={"file_id": uploaded.json()["id"]})
        stolen = await http.post(f"/v1/vector_stores/{own}/files", json={"file_id": secret})
        batch = await http.post(f"/v1/vector_stores/{own}/file_batches", json={"file_ids": [secret]})

    assert (attached.status_code, again.status_code) == (200, 200)
    assert error_of(stolen)[:2] == error_of(batch)[:2] == (404, "not_found")


async def test_an_upload_of_a_limited_writer_is_no_file_of_another_store(service: Running) -> None:
    """The same file may be elsewhere. Its id would say so, and every request with it would be a 404."""
    create = service.corpus.api_keys.create
    own, other = (service.corpus.vector_stores.create("acme", name).vector_store_id for name in ("own", "other"))
    admin, limited = create("acme", "admin", "admin")[1], create("acme", "limited", "writer", (own,))[1]
    async with service.openai_client(admin) as client:
        existing = await ingest_file(client, "oven.md", b"The oven heats to 250 degrees.", other)
    async with service.http(limited) as http:
        files = [("file", ("oven.md", b"The oven heats to 250 degrees."))]
        uploaded = (await http.post("/v1/files", files=files)).json()["id"]
        attached = await http.post(f"/v1/vector_stores/{own}/files", json={"file_id": uploaded})
        again = (await http.post("/v1/files", files=files)).json()["id"]

    assert uploaded != existing
    assert (attached.status_code, again) == (200, uploaded)


@pytest.fixture
async def with_tokens(tmp_path: Path) -> AsyncIterator[tuple[Service, Issuer]]:
    issuer = Issuer()
    oidc = {"issuer": issuer.url, "audience": AUDIENCE, "groups_claim": "groups"}
    settings = Settings.model_validate({"api": {"oidc": oidc}, "memory": {"user_facts": True}})
    async with serving(tmp_path, settings) as started:
        yield started, issuer
    issuer.close()


def http_of(service: Service, token: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=service.app), base_url="http://ragserve", headers=headers
    )


async def test_a_person_reads_no_facts_of_another(with_tokens: tuple[Service, Issuer]) -> None:
    service, issuer = with_tokens
    question = {"model": "ragserve", "input": "Where do I live?", "remember": True}
    async with http_of(service, issuer.token(sub="eve", role="reader", tenant="default")) as http:
        others = await http.post("/v1/responses", json={**question, "user": "ann"})
        own = await http.post("/v1/responses", json={**question, "user": "eve"})

    assert error_of(others)[:2] == (403, "forbidden")
    assert own.status_code == 200


async def test_people_with_long_names_share_no_conversation(with_tokens: tuple[Service, Issuer]) -> None:
    service, issuer = with_tokens
    ann, eve = (issuer.token(sub="x" * 200 + name, role="reader", tenant="default") for name in ("ann", "eve"))
    async with http_of(service, ann) as http:
        made = (await http.post("/v1/conversations", json={"metadata": {}})).json()["id"]
    async with http_of(service, eve) as http:
        read = await http.get(f"/v1/conversations/{made}")

    assert read.status_code == 404


def test_a_response_in_the_background_is_known_by_the_tenant_of_its_rows(corpus: Corpus) -> None:
    """The watch stops what it does not find unfinished: it must look for what is stored."""
    view = limited_view(corpus, LIMITED)
    view.responses.add("acme", StoredResponse("resp_1", "in_progress", 0, {}, overdue_at=60), [])

    key = (view.responses.stored_under("acme"), "resp_1")

    assert view.responses.unfinished([key]) == corpus.responses.unfinished([key, ("acme", "resp_1")]) == {key}
    assert corpus.responses.stored_under("acme") == "acme"
