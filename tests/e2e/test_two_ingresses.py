"""Two ingress replicas with stages inside, and tenants by their keys: answers, files and refusals are the same in both.

They share a service, for a change of its arguments starts every replica anew. tests/serve/api/test_api_tenants.py
calls every route with guessed ids.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from serve.access.keys import digest_of
from tests.conftest import Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

INLINE = ("Embedder", "LexicalSearcher", "Reranker")  # the dense searcher stays a stage of its own
TENANTS = ("acme", "globex")
KEY = "harbours-key"  # of a third tenant
HEADERS = {"Authorization": f"Bearer {KEY}"}


def write_keys(path: Path, *tenants: str) -> None:
    path.write_text("".join(f"{tenant}: [{digest_of(f'{tenant}-key')}]\n" for tenant in tenants))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.yaml"
    write_keys(path, *TENANTS, "harbours")
    return path


@pytest.fixture(scope="module")
def compact(service: Service, keys: Path) -> Service:
    """The service with two ingress replicas, small stages inside each, and a keys file. It stays so: these run last."""
    application = service.raw["applications"][0]
    moved = {name: service.deployment(name) for name in INLINE}
    application["deployments"] = [
        deployment for deployment in application["deployments"] if deployment["name"] not in INLINE
    ]
    application["args"]["inline"] = {name: deployment["user_config"] for name, deployment in moved.items()}
    application["args"]["api"]["keys_file"] = str(keys)
    service.deployment("Ingress")["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
    service.apply()
    return service


def ingress_of(http: httpx.Client) -> str:
    """Identify the ingress replica of this client's connection by its process."""
    return str(http.get("/readyz").json()["ingress"])


@pytest.fixture
def ingresses(compact: Service) -> Iterator[list[httpx.Client]]:
    """One client for each ingress replica. A client keeps its connection, and so its replica."""
    client_by_ingress: dict[str, httpx.Client] = {}
    opened: list[httpx.Client] = []
    while len(client_by_ingress) < 2 and len(opened) < 50:
        client = httpx.Client(base_url=compact.url, headers=HEADERS, timeout=PATIENCE_S, trust_env=False)
        opened.append(client)
        client_by_ingress.setdefault(ingress_of(client), client)
    yield list(client_by_ingress.values())
    for client in opened:
        client.close()


def test_two_ingresses_with_inline_stages_give_the_same_answer(compact: Service, ingresses: list[httpx.Client]) -> None:
    with openai.OpenAI(base_url=f"{compact.url}/v1", api_key=KEY) as client:
        store = client.vector_stores.create(name="lighthouses").id
        for number in range(4):
            note = f"The lighthouse of island {number} flashes every {number + 3} seconds.".encode()
            client.vector_stores.files.upload_and_poll(vector_store_id=store, file=(f"{number}.md", note))
    body = {"query": "How often does the lighthouse of island 2 flash?", "vector_store_ids": [store]}

    answers = [ingress.post("/v1/query", json=body).json() for ingress in ingresses]

    assert len(answers) == 2
    assert {answer["answer"] for answer in answers} == {answers[0]["answer"]}
    assert "every 5 seconds" in answers[0]["answer"]
    assert [answer["degraded"] for answer in answers] == [[], []]
    assert answers[0]["models"] == {"embed": "minilm", "rerank": "late-interaction", "generate": "extractive"}


def test_both_ingresses_see_a_detached_file(compact: Service, ingresses: list[httpx.Client]) -> None:
    first, second = ingresses
    file = first.post("/v1/files", files={"file": ("buoy.md", b"The buoy is green.")}, data={"purpose": "assistants"})
    store = second.post("/v1/vector_stores", json={"name": "buoys"}).json()["id"]
    with openai.OpenAI(base_url=f"{compact.url}/v1", api_key=KEY) as client:
        client.vector_stores.files.create_and_poll(file.json()["id"], vector_store_id=store)
    before = second.post(f"/v1/vector_stores/{store}/search", json={"query": "green buoy"}).json()["data"]

    first.delete(f"/v1/vector_stores/{store}/files/{file.json()['id']}").raise_for_status()

    after = second.post(f"/v1/vector_stores/{store}/search", json={"query": "green buoy"}).json()["data"]
    assert [hit["filename"] for hit in before] == ["buoy.md"]
    assert after == []


@pytest.fixture(scope="module")
def clients(compact: Service) -> Iterator[dict[str, openai.OpenAI]]:
    """One client for each tenant. Each tenant has a note in its default store."""
    client_by_tenant = {
        tenant: openai.OpenAI(base_url=f"{compact.url}/v1", api_key=f"{tenant}-key", max_retries=0, timeout=PATIENCE_S)
        for tenant in TENANTS
    }
    for tenant, client in client_by_tenant.items():
        note = f"The harbour of {tenant} opens at dawn.".encode()
        client.vector_stores.files.upload_and_poll(vector_store_id="default", file=("harbour.md", note))
    yield client_by_tenant
    for client in client_by_tenant.values():
        client.close()


@pytest.mark.parametrize("mode", ["auto", "hybrid", "dense", "lexical"])
def test_each_tenant_finds_only_its_own_files(clients: dict[str, openai.OpenAI], mode: str) -> None:
    for tenant, client in clients.items():
        page = client.vector_stores.search("default", query="harbour acme globex", extra_body={"mode": mode})

        assert [tenant in result.content[0].text for result in page.data] == [True]


def test_answers_use_only_the_callers_documents(clients: dict[str, openai.OpenAI]) -> None:
    for tenant, client in clients.items():
        messages = [{"role": "user", "content": "When does the harbour open?"}]
        completion = client.chat.completions.create(model="ragserve", messages=messages)

        assert f"harbour of {tenant}" in completion.choices[0].message.content
        assert len(completion.passages) == 1


def test_a_guessed_id_is_not_found(clients: dict[str, openai.OpenAI]) -> None:
    acme, globex = clients.values()
    (file,) = acme.files.list()
    store = acme.vector_stores.create(name="private")

    for call in (
        lambda: globex.files.content(file.id),
        lambda: globex.files.delete(file.id),
        lambda: globex.vector_stores.search(store.id, query="harbour"),
        lambda: globex.vector_stores.files.create("default", file_id=file.id),
    ):
        with pytest.raises(openai.NotFoundError):
            call()


def test_the_command_line_sends_the_key_of_its_environment(compact: Service, clients: dict[str, openai.OpenAI]) -> None:
    command = [sys.executable, "-m", "serve.cli", "ask", "When does the harbour open?", "--url", compact.url]

    def ask(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)

    assert "harbour of globex" in ask({"RAGSERVE_API_KEY": "globex-key"}).stdout
    refused = ask({"RAGSERVE_API_KEY": "wrong-key"})
    assert refused.returncode == 1
    assert "API key" in refused.stderr


def test_a_revoked_key_is_refused_from_the_next_request(
    compact: Service, keys: Path, clients: dict[str, openai.OpenAI]
) -> None:
    write_keys(keys, "acme", "harbours")

    with pytest.raises(openai.AuthenticationError):
        clients["globex"].files.list()
    assert clients["acme"].files.list().data

    write_keys(keys, *TENANTS, "harbours")
    assert clients["globex"].files.list().data
