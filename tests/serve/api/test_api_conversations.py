"""/v1/conversations by OpenAI's client: items, and the responses that read them and add to them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.conversations import Conversation, ConversationItemList

from serve.settings import Settings
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import error_of
from tests.serve.api.response_samples import Service, serving, text_of

OVEN = "How hot does the oven get?"
SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}
HELLO = {"type": "message", "role": "user", "content": "Hello!"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path) as started:
        yield started


async def texts(client: openai.AsyncOpenAI, conversation: str) -> list[str]:
    """The messages, oldest first; of another item its type."""
    page = await client.conversations.items.list(conversation, order="asc")
    return [text_of(item) if item.type == "message" else item.type async for item in page]


async def test_a_conversation_is_created_changed_and_deleted(client: openai.AsyncOpenAI) -> None:
    created = await client.conversations.create(items=[HELLO], metadata={"topic": "ovens"})
    updated = await client.conversations.update(created.id, metadata={"topic": "mills"})

    assert created.metadata == {"topic": "ovens"}
    assert await client.conversations.retrieve(created.id) == updated
    assert updated == created.model_copy(update={"metadata": {"topic": "mills"}})
    assert (await client.conversations.delete(created.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.conversations.retrieve(created.id)
    with pytest.raises(openai.NotFoundError):
        await client.conversations.items.list(created.id)


async def test_items_are_added_read_paged_and_deleted(client: openai.AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "done"}
    added = await client.conversations.items.create(conversation.id, items=[HELLO, call, result])

    newest = [each.id async for each in await client.conversations.items.list(conversation.id, limit=2)]
    item = await client.conversations.items.retrieve(added.data[1].id, conversation_id=conversation.id)
    await client.conversations.items.delete(added.data[1].id, conversation_id=conversation.id)

    assert newest == [each.id for each in reversed(added.data)]
    assert (item.type, item.call_id) == ("function_call", "c1")
    assert await texts(client, conversation.id) == ["Hello!", "function_call_output"]
    with pytest.raises(openai.NotFoundError):
        await client.conversations.items.retrieve(added.data[1].id, conversation_id=conversation.id)


async def test_objects_are_of_the_types_that_the_client_declares(http: httpx.AsyncClient) -> None:
    created = (await http.post("/v1/conversations", json={"items": [HELLO]})).json()
    listed = (await http.get(f"/v1/conversations/{created['id']}/items")).json()

    Conversation.model_validate(created, strict=True)
    ConversationItemList.model_validate(listed, strict=True)


async def test_a_response_reads_its_conversation_and_is_added_to_it(client: openai.AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    first = await client.responses.create(input=OVEN, conversation=conversation.id, tools=[SEARCH])
    second = await client.responses.create(
        input="And how is it cleaned?", conversation={"id": conversation.id}, tools=[SEARCH], stream=True
    )
    last = [event async for event in second][-1].response

    assert first.conversation.id == conversation.id
    assert "oven" in last.output[0].queries[0].lower()
    assert await texts(client, conversation.id) == [
        OVEN,
        "file_search_call",
        first.output_text,
        "And how is it cleaned?",
        "file_search_call",
        last.output_text,
    ]


async def test_an_item_that_a_response_refers_to_stays_where_it_is(client: openai.AsyncOpenAI) -> None:
    conversation = await client.conversations.create(items=[HELLO])
    (hello,) = (await client.conversations.items.list(conversation.id)).data
    reference = {"type": "item_reference", "id": hello.id}

    response = await client.responses.create(
        input=[reference, {"role": "user", "content": OVEN}], conversation=conversation.id
    )

    assert await texts(client, conversation.id) == ["Hello!", OVEN, "file_search_call", response.output_text]


async def test_what_is_not_stored_is_in_its_conversation_all_the_same(client: openai.AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    response = await client.responses.create(input=OVEN, conversation=conversation.id, store=False)

    assert (await texts(client, conversation.id))[-1] == response.output_text


async def test_a_response_in_the_background_is_added_when_it_ends(client: openai.AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    await client.responses.create(input=OVEN, conversation=conversation.id, background=True)

    async with asyncio.timeout(PATIENCE_S):
        while len(added := await texts(client, conversation.id)) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    assert added[0] == OVEN


async def test_searches_have_their_results_on_request(client: openai.AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    await client.responses.create(input=OVEN, conversation=conversation.id)

    plain = await client.conversations.items.list(conversation.id, order="asc")
    full = await client.conversations.items.list(conversation.id, order="asc", include=["file_search_call.results"])

    assert plain.data[1].results is None
    assert "250 degrees" in full.data[1].results[0].text


async def test_a_conversation_survives_the_service(tmp_path: Path) -> None:
    async with serving(tmp_path) as service, service.openai_client() as client:
        conversation = await client.conversations.create(items=[HELLO])
    async with serving(tmp_path, is_new=False) as service, service.openai_client() as client:
        assert await texts(client, conversation.id) == ["Hello!"]


async def test_an_unused_conversation_is_deleted(tmp_path: Path) -> None:
    settings = Settings.model_validate({"housekeeping": {"every_s": 0.1, "keep_conversations_s": 600}})
    async with serving(tmp_path, settings) as service, service.openai_client() as client:
        unused, used = [await client.conversations.create() for _ in range(2)]
        service.clock.ahead_s = 500
        await client.conversations.items.create(used.id, items=[HELLO])
        service.clock.ahead_s = 700

        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await client.conversations.retrieve(unused.id)
                except openai.NotFoundError:
                    break
                await asyncio.sleep(0.05)
        assert await texts(client, used.id) == ["Hello!"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"items": [HELLO] * 21}, "items"),
        ("", {"item": []}, "item"),
        ("", {"metadata": {"k": "v" * 513}}, "metadata"),
        ("", {"items": [{"type": "item_reference", "id": "msg_none"}]}, "items.0.id"),
        ("", {"items": [{"role": "user", "content": [{"type": "input_file"}]}]}, "items.0.content.0.type"),
        ("/{id}", {}, "metadata"),
        ("/{id}/items", {"items": []}, "items"),
        ("/{id}/items", {"items": [{**HELLO, "id": "msg_1"}, {**HELLO, "id": "msg_1"}]}, "items"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], param: str
) -> None:
    conversation = (await http.post("/v1/conversations")).json()["id"]

    response = await http.post(f"/v1/conversations{path.format(id=conversation)}", json=body)

    assert error_of(response) == (422, "invalid_request", param), response.text
