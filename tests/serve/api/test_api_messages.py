"""/v1/messages with Anthropic's own client: from documents, from the model that quotes, and from a language model."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from models.errors.limits import OverloadedError
from serve.access.keys import digest_of
from serve.api.errors import refusal
from serve.http_app import create_app
from serve.settings import ApiConfig
from tests.serve.api.api_samples import URL, Clock, Parrot, Running, ingest_file, running

QUESTION: Any = [{"role": "user", "content": [{"type": "text", "text": "How tall is the tower?"}]}]
TOWER = b"The tower is 40 metres tall. It stands in the north."
MODEL: Any = {"model": "claude-test", "max_tokens": 100}


def anthropic_client(service: Running, key: str = "any") -> anthropic.AsyncAnthropic:
    http_client = anthropic.DefaultAsyncHttpxClient(transport=httpx2.ASGITransport(app=service.app))
    return anthropic.AsyncAnthropic(base_url=URL, api_key=key, http_client=http_client, max_retries=0)


@pytest.fixture
async def claude(service: Running, client: openai.AsyncOpenAI) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Anthropic's client of a service with one file, which stands for a model of Anthropic's."""
    await ingest_file(client, "tower.md", TOWER, "default")
    service.replace(api=ApiConfig(model_aliases={"claude-test": "ragserve"}))
    async with anthropic_client(service) as opened:
        yield opened


async def test_an_answer_cites_characters_of_the_files(claude: anthropic.AsyncAnthropic) -> None:
    message = await claude.messages.create(**MODEL, messages=QUESTION)

    (block,) = message.content
    assert "40 metres tall. [1]" in block.text
    for citation in block.citations:
        assert citation.cited_text == TOWER.decode()[citation.start_char_index : citation.end_char_index]
        assert (citation.document_title, citation.document_index) == ("tower.md", 0)
    assert block.citations[0].cited_text == "The tower is 40 metres tall."
    assert (message.role, message.stop_reason, message.type) == ("assistant", "end_turn", "message")
    assert message.usage.output_tokens > 0


async def test_a_stream_becomes_the_same_message(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(**MODEL, messages=QUESTION)
    async with claude.messages.stream(**MODEL, messages=QUESTION) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_message()

    assert streamed.content[0].text == whole.content[0].text
    assert streamed.content[0].citations == whole.content[0].citations
    assert (streamed.usage, streamed.stop_reason) == (whole.usage, whole.stop_reason)
    assert (kinds[0], kinds[1], kinds[-1]) == ("message_start", "content_block_start", "message_stop")


async def test_the_model_that_quotes_and_a_language_model_answer(
    service: Running, claude: anthropic.AsyncAnthropic
) -> None:
    quoting = await claude.messages.create(model="extractive", max_tokens=100, messages=QUESTION)
    parrot = Parrot()
    parroting = Running(create_app(replace(service.app.state.services, completions=parrot)), service.corpus)
    async with anthropic_client(parroting) as client:
        turns: Any = [{"role": "user", "content": "one two"}]
        plain = await client.messages.create(model="qwen3-4b", max_tokens=9, system="Be brief.", messages=turns)
        with pytest.raises(anthropic.APIStatusError, match="full queue") as failed:
            async with client.messages.stream(model="qwen3-4b", max_tokens=9, messages=FAILING) as stream:
                await stream.until_done()

    assert "40 metres tall. [1]" in quoting.content[0].text
    assert plain.content[0].text == "onetwo"  # the parrot's chunks have no spaces
    assert parrot.bodies[0]["messages"] == [{"role": "system", "content": "Be brief."}, *turns]
    assert failed.value.body["error"]["type"] == "rate_limit_error"


FAILING: Any = [{"role": "user", "content": "three four"}]
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
TOOL = {"name": "look_up", "input_schema": {"type": "object"}}


async def test_what_no_answer_can_follow_is_refused_by_name(claude: anthropic.AsyncAnthropic) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content.0"),
        ({"tools": [TOOL]}, "tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"extra_body": {"top_kk": 1}}, "top_kk"),
        ({"extra_body": {"temperature": 3}}, "temperature"),
    ]
    for fields, param in refused:
        with pytest.raises(anthropic.UnprocessableEntityError) as caught:
            await claude.messages.create(**{**MODEL, "messages": QUESTION, **fields})
        assert caught.value.body["error"]["param"] == param
        assert (caught.value.body["type"], caught.value.body["error"]["type"]) == ("error", "invalid_request_error")
    with pytest.raises(anthropic.NotFoundError, match="extractive"):
        await claude.messages.create(model="claude-unknown", max_tokens=9, messages=QUESTION)


async def test_what_can_be_left_out_is_left_out_on_request(claude: anthropic.AsyncAnthropic) -> None:
    messages = [{"role": "user", "content": [IMAGE, *QUESTION[0]["content"]]}]

    message = await claude.messages.create(
        **MODEL, messages=messages, tools=[TOOL], system="Rhyme.", extra_body={"extra": "ignore"}
    )

    assert "40 metres tall. [1]" in message.content[0].text


async def test_the_key_of_anthropics_client_decides_the_tenant(tmp_path: Path, clock: Clock) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"acme: [{digest_of('acme-key')}]\nglobex: [{digest_of('globex-key')}]\n")
    async with running(tmp_path, clock, keys) as service:
        async with service.openai_client("acme-key") as client:
            await ingest_file(client, "tower.md", TOWER, "default")
        answers = {}
        for key in ("acme-key", "globex-key"):
            async with anthropic_client(service, key) as opened:
                message = await opened.messages.create(model="ragserve", max_tokens=9, messages=QUESTION)
                answers[key] = message.content[0].text
        async with anthropic_client(service, "wrong") as opened:
            with pytest.raises(anthropic.AuthenticationError) as refused:
                await opened.messages.create(model="ragserve", max_tokens=9, messages=QUESTION)
        async with service.http() as http:
            no_json = await http.post("/v1/messages", content=b"{", headers={"x-api-key": "acme-key"})

    assert "40 metres" in answers["acme-key"]
    assert "40 metres" not in answers["globex-key"]
    assert refused.value.body["error"]["type"] == "authentication_error"
    assert (no_json.status_code, no_json.json()["type"]) == (422, "error")


def test_an_overloaded_service_has_the_clients_own_error() -> None:
    body = httpx.Response(200, content=refusal(OverloadedError("embed"), "/v1/messages").body).json()

    assert (body["type"], body["error"]["type"], body["error"]["code"]) == ("error", "rate_limit_error", "overloaded")
