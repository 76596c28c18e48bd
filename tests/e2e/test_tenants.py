"""Tenants on a running cluster: a key gives access to its tenant's data only, over HTTP and from the command line.

tests/serve/api/test_api_tenants.py calls every route with guessed ids.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from serve.access.keys import digest_of
from tests.conftest import Service, restored_afterwards

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TENANTS = ("acme", "globex")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.yaml"
    write_keys(path, *TENANTS)
    return path


def write_keys(path: Path, *tenants: str) -> None:
    path.write_text("".join(f"{tenant}: [{digest_of(f'{tenant}-key')}]\n" for tenant in tenants))


@pytest.fixture(scope="module")
def keyed(service: Service, keys: Path) -> Iterator[Service]:
    """The service with a keys file, restored afterwards."""
    with restored_afterwards(service):
        service.raw["applications"][0]["args"]["api"]["keys_file"] = str(keys)
        service.apply()
        yield service


@pytest.fixture(scope="module")
def clients(keyed: Service) -> Iterator[dict[str, openai.OpenAI]]:
    """One client for each tenant. Each tenant has a note in its default store."""
    client_by_tenant = {
        tenant: openai.OpenAI(base_url=f"{keyed.url}/v1", api_key=f"{tenant}-key", max_retries=0, timeout=60)
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


def test_the_command_line_sends_the_key_of_its_environment(keyed: Service, clients: dict[str, openai.OpenAI]) -> None:
    command = [sys.executable, "-m", "serve.cli", "ask", "When does the harbour open?", "--url", keyed.url]

    def ask(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)

    assert "harbour of globex" in ask({"RAGSERVE_API_KEY": "globex-key"}).stdout
    refused = ask({"RAGSERVE_API_KEY": "wrong-key"})
    assert refused.returncode == 1
    assert "API key" in refused.stderr


def test_a_revoked_key_is_refused_from_the_next_request(
    keyed: Service, keys: Path, clients: dict[str, openai.OpenAI]
) -> None:
    write_keys(keys, "acme")

    with pytest.raises(openai.AuthenticationError):
        clients["globex"].files.list()
    assert clients["acme"].files.list().data

    write_keys(keys, *TENANTS)
    assert clients["globex"].files.list().data
