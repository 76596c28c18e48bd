"""/mcp over real HTTP with the protocol's own client: its tools and resources, for two tenants; and `ragserve mcp`."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from serve.access.keys import digest_of
from tests.conftest import ROOT
from tests.patience import PATIENCE_S
from tests.serve.cli.ingest.listening import Listening, listening_in

TOWER = "The tower is 40 metres tall. It stands in the north."
MODES = ("auto", "legacy")  # the stateless protocol of 2026, and the handshake before it


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    """A service with a file of acme, and none of globex."""
    folder = tmp_path_factory.mktemp("mcp")
    keys = folder / "keys.yaml"
    keys.write_text(f"acme: [{digest_of('acme-key')}]\nglobex: [{digest_of('globex-key')}]\n")
    with listening_in(folder, keys) as listening:
        with openai.OpenAI(base_url=f"{listening.url}/v1", api_key="acme-key") as client:
            client.vector_stores.files.upload_and_poll(
                vector_store_id="default", file=("tower.md", TOWER.encode()), poll_interval_ms=10
            )
        yield listening


@asynccontextmanager
async def connected(service: Listening, key: str, mode: Any = "auto") -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S, trust_env=False) as http:
        transport = streamable_http_client(f"{service.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize("mode", MODES)
async def test_the_tools_search_ask_list_and_read(service: Listening, mode: str) -> None:
    async with connected(service, "acme-key", mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = await client.call_tool("search", {"query": "How tall is the tower?", "max_num_results": 3})
        answer = await client.call_tool("ask", {"question": "How tall is the tower?"})
        files = (await client.call_tool("list_files", {})).structured_content["files"]
        read = await client.call_tool("read_text", {"file_id": files[0]["file_id"], "start": 4, "max_chars": 5})

    assert sorted(tools) == ["ask", "list_files", "read_text", "search"]
    assert tools["ask"].input_schema["required"] == ["question"]
    assert tools["search"].annotations.read_only_hint
    assert found.structured_content["results"][0]["text"] == TOWER
    assert "tower.md" in found.content[0].text
    assert "40 metres tall. [1]" in answer.structured_content["answer"]
    source = answer.structured_content["sources"][0]
    assert source["text"] == TOWER[source["start"] : source["end"]]
    assert answer.content[0].text.startswith(answer.structured_content["answer"])
    assert [(file["filename"], file["bytes"]) for file in files] == [("tower.md", len(TOWER))]
    assert read.structured_content | {"file_id": ""} == {
        "file_id": "",
        "text": "tower",
        "start": 4,
        "end": 9,
        "total_chars": len(TOWER),
    }


@pytest.mark.parametrize("mode", MODES)
async def test_files_are_resources(service: Listening, mode: str) -> None:
    async with connected(service, "acme-key", mode) as client:
        (resource,) = (await client.list_resources()).resources
        (template,) = (await client.list_resource_templates()).resource_templates
        (content,) = (await client.read_resource(resource.uri)).contents

    assert (resource.name, resource.mime_type) == ("tower.md", "text/plain")
    assert resource.uri.startswith("ragserve://files/file-")
    assert template.uri_template == "ragserve://files/{file_id}"
    assert content.text == TOWER


async def test_another_tenant_sees_nothing(service: Listening) -> None:
    async with connected(service, "acme-key") as client:
        (resource,) = (await client.list_resources()).resources
    file_id = resource.uri.rpartition("/")[2]

    async with connected(service, "globex-key") as client:
        found = await client.call_tool("search", {"query": "tower"})
        answer = await client.call_tool("ask", {"question": "How tall is the tower?"})
        files = await client.call_tool("list_files", {})
        read = await client.call_tool("read_text", {"file_id": file_id})
        resources = (await client.list_resources()).resources
        with pytest.raises(MCPError, match="no file with id"):
            await client.read_resource(resource.uri)

    assert found.structured_content["results"] == files.structured_content["files"] == resources == []
    assert "40 metres" not in answer.content[0].text
    assert read.is_error
    assert f"no file with id {file_id!r}" in read.content[0].text


def rpc(method: str, params: dict[str, Any]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


async def test_a_wrong_call_says_why(service: Listening) -> None:
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("search", {"query": "tower", "top_kk": 1}, "top_kk"),
        ("search", {"query": ""}, "query"),
        ("search", {"query": "tower", "vector_store_ids": ["vs_none"]}, "vs_none"),
        ("ask", {}, "question"),
        ("ask", {"question": "x" * 9_000}, "8000"),
        ("list_files", {"limit": 1000}, "limit"),
        ("list_files", {"after": "file-none"}, "file-none"),
        ("read_text", {"file_id": "file-none"}, "file-none"),
        ("read_text", {"file_id": "x", "start": -1}, "start"),
    ]
    async with connected(service, "acme-key") as client:
        for name, arguments, message in calls:
            result = await client.call_tool(name, arguments)
            assert result.is_error, name
            assert message in result.content[0].text
        with pytest.raises(MCPError, match="no tool named 'delete'"):
            await client.call_tool("delete", {})
        with pytest.raises(MCPError, match="no resource with id"):
            await client.read_resource("file:///etc/passwd")


async def test_a_broken_message_is_no_failure_of_the_service(service: Listening) -> None:
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    surrogate = rpc("tools/call", {"name": "ask", "arguments": {"question": "\ud800"}})
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=PATIENCE_S) as http:
        for content in ("{", "[]", "null", rpc("tools/call", {}), rpc("no/such", {}), surrogate):
            response = await http.post("/mcp", content=content, headers=headers | {"x-api-key": "acme-key"})
            assert response.status_code < 500, content
        unauthorized = await http.post("/mcp", content=rpc("tools/list", {}), headers=headers)
        session = await http.get("/mcp", headers=headers | {"x-api-key": "acme-key"})

    assert (unauthorized.status_code, unauthorized.json()["error"]["code"]) == (401, "invalid_api_key")
    assert session.status_code == 405


async def test_every_refusal_of_the_protocol_is_json(service: Listening) -> None:
    """Its server writes these as plain text."""
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    large = rpc("tools/list", {"cursor": "a" * 5_000_000})
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=PATIENCE_S) as http:
        for content, changes, status in (
            (large, {}, 413),
            (rpc("tools/list", {}), {"content-type": "text/plain"}, 400),
        ):
            response = await http.post("/mcp", content=content, headers=headers | {"x-api-key": "acme-key"} | changes)

            assert response.status_code == status
            assert response.json()["error"]["message"]


async def test_a_message_of_another_kind_says_what_is_wrong_in_words(service: Listening) -> None:
    headers = {"accept": "application/json, text/event-stream", "x-api-key": "acme-key"}
    messages = {"[]": "batches", "{}": "jsonrpc: Field required", rpc("tools/list", {}).replace("{}", "[1]"): "params:"}
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=PATIENCE_S, headers=headers) as http:
        responses = [await http.post("/mcp", json=json.loads(content)) for content in messages]

    for response, problem in zip(responses, messages.values(), strict=True):
        message = response.json()["error"]["message"]
        assert (response.status_code, problem in message, "pydantic" in message) == (400, True, False), message


async def test_a_web_page_of_another_origin_is_refused(service: Listening) -> None:
    headers = {"accept": "application/json, text/event-stream", "x-api-key": "acme-key"}
    message, statuses = json.loads(rpc("tools/list", {})), []
    async with httpx.AsyncClient(base_url=service.url, trust_env=False, timeout=PATIENCE_S, headers=headers) as http:
        for origin in ("http://evil.example:8000", "null", "http://[", "http://localhost:3000", service.url):
            statuses.append((await http.post("/mcp", json=message, headers={"origin": origin})).status_code)

    assert statuses == [403, 403, 403, 403, 200]


async def test_the_server_says_its_version(service: Listening) -> None:
    async with connected(service, "acme-key", "legacy") as client:
        assert client.server_info.version == version("ragserve")


async def test_the_command_serves_the_same_on_stdio(service: Listening, tmp_path: Path) -> None:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "serve.cli", "mcp", "--url", f"{service.url}/v1"],
        env={"RAGSERVE_API_KEY": "acme-key", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )

    async with Client(command) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        answer = await client.call_tool("ask", {"question": "How tall is the tower?"})
        (resource,) = (await client.list_resources()).resources
        (content,) = (await client.read_resource(resource.uri)).contents

    assert tools == ["search", "ask", "list_files", "read_text"]
    assert "40 metres tall. [1]" in answer.content[0].text
    assert content.text == TOWER


async def test_the_command_says_that_the_key_is_unknown(service: Listening, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "serve.cli", "mcp", "--url", service.url],
        env=os.environ | {"RAGSERVE_API_KEY": "wrong", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()

    assert process.returncode == 1
    assert "the API key is unknown" in errors.decode()
