"""/v1/responses by OpenAI's client, over the composed application: its objects, its events, and what it keeps."""

import asyncio
import json
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from models.errors.limits import OverloadedError
from models.types.generation import ChatMessage
from serve.api.background_responses import EventFeed
from serve.api.chat_request import ChatRequest
from serve.api.compaction import packed, unpacked
from serve.api.message_request import MessagesRequest
from serve.api.response_request import ResponseRequest
from serve.settings import Settings
from tests.inline import ExtractiveGenerator, Failing
from tests.patience import PATIENCE_S
from tests.serve.api.api_samples import error_of
from tests.serve.api.response_samples import Service, events_of, serving, text_of

OVEN = "How hot does the oven get?"
SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path) as started:
        yield started


async def test_an_answer_cites_its_files(client: openai.AsyncOpenAI, service: Service) -> None:
    response = await client.responses.create(
        model="ragserve", input=OVEN, tools=[SEARCH], include=["file_search_call.results"]
    )

    search, message = response.output
    assert (search.type, search.status, search.queries) == ("file_search_call", "completed", [OVEN])
    assert search.results[0].file_id == service.file_id
    assert "250 degrees" in search.results[0].text
    (content,) = message.content
    annotation = content.annotations[-1]
    assert (annotation.type, annotation.file_id, annotation.filename) == (
        "file_citation",
        service.file_id,
        "ovens.md",
    )
    for annotation in content.annotations:
        assert content.text[annotation.index :].startswith(f"[{annotation.citation_id}]")
    assert response.output_text == content.text
    assert response.usage is not None
    assert (response.status, response.error, response.incomplete_details) == ("completed", None, None)


async def test_results_are_shown_on_request_alone(client: openai.AsyncOpenAI) -> None:
    created = await client.responses.create(input=OVEN, tools=[SEARCH])
    plain = await client.responses.retrieve(created.id)
    with_results = await client.responses.retrieve(created.id, include=["file_search_call.results"])

    assert [each.output[0].results for each in (created, plain)] == [None, None]
    assert with_results.output[0].results
    assert plain == created


async def test_events_come_in_openais_order(client: openai.AsyncOpenAI) -> None:
    events = await events_of(await client.responses.create(input=OVEN, tools=[SEARCH], stream=True))

    types = [event.type for event in events]
    assert [kind for place, kind in enumerate(types) if kind not in types[place - 1 : place]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1].response
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == last.output_text
    added = [event for event in events if event.type == "response.output_text.annotation.added"]
    assert [event.annotation.model_dump() for event in added] == [
        each.model_dump() for each in last.output[1].content[0].annotations
    ]
    assert await client.responses.retrieve(last.id) == last


async def test_the_clients_own_stream_helper_builds_the_same_response(client: openai.AsyncOpenAI) -> None:
    async with client.responses.stream(model="ragserve", input=OVEN, tools=[SEARCH]) as stream:
        final = await stream.get_final_response()

    assert final.output_text == (await client.responses.retrieve(final.id)).output_text


async def test_every_field_is_of_the_type_that_the_client_declares(http: httpx.AsyncClient) -> None:
    """The client itself checks nothing."""
    body = {"input": OVEN, "tools": [SEARCH], "include": ["file_search_call.results"], "metadata": {"a": "b"}}

    created = (await http.post("/v1/responses", json=body)).json()

    Response.model_validate(created, strict=True)


async def test_a_response_continues_the_previous_one(client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(input=OVEN, tools=[SEARCH])
    second = await client.responses.create(
        input="And how is it cleaned?", previous_response_id=first.id, tools=[SEARCH]
    )

    assert "oven" in second.output[0].queries[0].lower()
    assert second.previous_response_id == first.id
    items = await client.responses.input_items.list(second.id)
    assert [text_of(item) for item in items.data] == ["And how is it cleaned?"]


async def test_an_item_stands_for_the_stored_one(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    first = await client.responses.create(input=OVEN, tools=[SEARCH])
    asked = (await client.responses.input_items.list(first.id)).data[0]
    references = [{"type": "item_reference", "id": asked.id}, {"id": first.output[1].id}]
    follow_up = {"role": "user", "content": "And how is it cleaned?"}

    second = await client.responses.create(input=[*references, follow_up], tools=[SEARCH])
    unknown = await http.post("/v1/responses", json={"input": [{"type": "item_reference", "id": "msg_none"}]})

    assert "oven" in second.output[0].queries[0].lower()
    assert error_of(unknown) == (422, "invalid_request", "input.0.id")


async def test_the_whole_output_can_be_sent_back(client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(input=OVEN, tools=[SEARCH], include=["file_search_call.results"])
    history = [{"role": "user", "content": OVEN}, *(item.model_dump() for item in first.output)]

    second = await client.responses.create(
        input=[*history, {"role": "user", "content": "And how is it cleaned?"}], tools=[SEARCH]
    )

    assert "oven" in second.output[0].queries[0].lower()


async def test_what_is_not_stored_cannot_be_read(client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(input=OVEN, store=False)

    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(input="And then?", previous_response_id=response.id)


async def test_a_deleted_response_is_gone(client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(input=OVEN, metadata={"topic": "ovens"})
    assert (await client.responses.retrieve(response.id)).metadata == {"topic": "ovens"}

    await client.responses.delete(response.id)

    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)


async def test_a_stored_response_survives_the_service(tmp_path: Path) -> None:
    async with serving(tmp_path) as service, service.openai_client() as client:
        before = await client.responses.create(input=OVEN, tools=[SEARCH])
    async with serving(tmp_path, is_new=False) as service, service.openai_client() as client:
        assert await client.responses.retrieve(before.id) == before


async def test_instructions_that_quoting_cannot_follow_are_named(client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(
        input=OVEN, instructions="Answer like a pirate.", temperature=0.7, reasoning={"effort": "low"}
    )

    assert "250 degrees" in response.output_text
    assert response.instructions == "Answer like a pirate."
    assert response.model_extra["ignored"] == ["instructions", "temperature", "reasoning"]


async def test_a_greeting_searches_nothing(client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(input="Hello!", tools=[SEARCH])

    assert [item.type for item in response.output] == ["message"]


async def test_an_answer_that_is_cut_is_incomplete(tmp_path: Path) -> None:
    asked = {"input": "one two three four", "max_output_tokens": 3}
    async with serving(tmp_path, text="One two three four five six seven. " * 20) as service:
        client = service.openai_client()
        response = await client.responses.create(**asked)
        events = await events_of(await client.responses.create(**asked, stream=True))
        await client.close()

    assert response.status == events[-1].response.status
    assert (response.status == "incomplete") == (response.incomplete_details is not None)
    assert events[-1].type == f"response.{response.status}"


class Answer(BaseModel):
    degrees: int


async def test_json_needs_a_language_model(client: openai.AsyncOpenAI) -> None:
    """A text in place of JSON would break its reader."""
    with pytest.raises(openai.UnprocessableEntityError) as raised:
        await client.responses.parse(input=OVEN, text_format=Answer, instructions="Be brief.")

    assert raised.value.param == "text.format"
    assert "Generator" in raised.value.message


FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [SEARCH, SEARCH]}, "tools"),
        ({"tools": [FUNCTION]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [SEARCH], "tool_choice": "none"}, "tool_choice"),
        ({"tools": [SEARCH], "tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"include": ["everything"]}, "include.0"),
        ({"inputs": "typo"}, "inputs"),
        ({"input": []}, "input"),
        ({"input": " "}, "input"),
        ({"input": [{"role": "assistant", "content": "I said so."}]}, "input"),
        ({"input": [{"role": "wizard", "content": "Hm."}]}, "input.0.role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input.0.content.0.type",
        ),
        ({"input": [{"type": "computer_call"}]}, "input.0.type"),
        ({"input": "\ud800"}, "input"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id"),
        ({"previous_response_id": "a b\0"}, "previous_response_id"),
        ({"background": True, "store": False}, "store"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"temperature": 3}, "temperature"),
        ({"extra": "refuse", "instructions": "Be brief."}, "input"),
        (
            {"model": "extractive", "mode": "dense", "input": "Context: it is hot.\nQuestion: Is it hot?\nAnswer:"},
            "mode",
        ),
        ({"prompt": {"id": "p"}}, "prompt"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    http: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    content = json.dumps({"input": OVEN, **fields})
    response = await http.post("/v1/responses", content=content, headers={"content-type": "application/json"})

    assert error_of(response) == (422, "invalid_request", param), response.text


async def test_functions_need_a_language_model(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/responses", json={"model": "extractive", "input": OVEN, "tools": [FUNCTION]})

    assert error_of(response) == (422, "invalid_request", "tools")
    assert "user_config.model of the Generator" in response.json()["error"]["message"]


async def test_a_request_may_bring_its_own_context(client: openai.AsyncOpenAI) -> None:
    prompt = "Context: The lock opens at six. Boats wait below the weir.\nQuestion: When does the lock open?\nAnswer:"

    for model in ("extractive", "ragserve"):
        response = await client.responses.create(model=model, input=prompt)
        assert "The lock opens at six." in response.output_text
        assert [item.type for item in response.output] == ["message"]
        assert (await client.responses.retrieve(response.id)).output_text == response.output_text


async def test_a_stream_of_the_model_alone_has_the_same_events(client: openai.AsyncOpenAI) -> None:
    prompt = "Context: The lock opens at six. Boats wait below the weir.\nQuestion: When does the lock open?\nAnswer:"

    events = await events_of(await client.responses.create(model="extractive", input=prompt, stream=True))

    assert [event.type for event in events if event.type != "response.output_text.delta"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_a_failure_in_a_stream_is_its_last_event_and_is_stored(tmp_path: Path) -> None:
    failing = Failing(OverloadedError("generate"), num_deltas=1)
    async with serving(tmp_path, generator=failing) as service, service.openai_client() as client:
        events = await events_of(await client.responses.create(input=OVEN, tools=[SEARCH], stream=True))
        stored = await client.responses.retrieve(events[-1].response.id)

    assert events[-1].type == "response.failed"
    assert (stored.status, stored.error.code) == ("failed", "rate_limit_exceeded")
    assert [item.type for item in stored.output] == ["file_search_call"]


class Waiting(ExtractiveGenerator):
    """A generator that waits for a signal, and says when it is called and when it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.may_go_on, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stream(self, request: Any, context: Any) -> Any:
        self.called.set()
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        async for delta in super().stream(request, context):
            yield delta


async def streamed(client: openai.AsyncOpenAI, **request: Any) -> list[Any]:
    return await events_of(await client.responses.create(**request))


async def polled(client: openai.AsyncOpenAI, response_id: str) -> Response:
    for _ in range(3000):
        if (response := await client.responses.retrieve(response_id)).status != "in_progress":
            return response
        await asyncio.sleep(0.02)
    raise AssertionError("the response did not end")


async def test_a_response_in_the_background_is_polled(tmp_path: Path) -> None:
    generator = Waiting()
    async with serving(tmp_path, generator=generator) as service, service.openai_client() as client:
        begun = await client.responses.create(input=OVEN, tools=[SEARCH], background=True)
        await generator.called.wait()
        unended = await client.responses.retrieve(begun.id)
        with pytest.raises(openai.ConflictError):
            await client.responses.create(input="And then?", previous_response_id=begun.id)

        generator.may_go_on.set()
        ended = await polled(client, begun.id)
        again = await client.responses.cancel(begun.id)

    assert (begun.status, unended.status, begun.output) == ("in_progress", "in_progress", [])
    assert ended.status == again.status == "completed"
    assert "250 degrees" in ended.output_text


async def test_a_cancelled_response_stops_its_work(tmp_path: Path) -> None:
    generator = Waiting()
    async with serving(tmp_path, generator=generator) as service, service.openai_client() as client:
        begun = await client.responses.create(input=OVEN, tools=[SEARCH], background=True)
        await generator.called.wait()

        cancelled = await client.responses.cancel(begun.id)
        async with asyncio.timeout(PATIENCE_S):
            await generator.cancelled.wait()

        assert cancelled.status == (await client.responses.cancel(begun.id)).status == "cancelled"
        assert (await client.responses.retrieve(begun.id)).output == []


async def test_a_conversation_is_made_short_and_continued(client: openai.AsyncOpenAI) -> None:
    first = await client.responses.create(input=OVEN, tools=[SEARCH])
    compacted = await client.responses.compact(model="ragserve", previous_response_id=first.id)
    (item,) = compacted.output
    follow_up = {"role": "user", "content": "And how is it cleaned?"}

    second = await client.responses.create(input=[item.model_dump(exclude_none=True), follow_up], tools=[SEARCH])
    third = await client.responses.create(input="Is it hot?", previous_response_id=second.id, tools=[SEARCH])

    assert (compacted.object, item.type) == ("response.compaction", "compaction")
    assert compacted.usage.total_tokens > 0
    assert "oven" in second.output[0].queries[0].lower()
    assert third.status == "completed"


@pytest.mark.parametrize(
    "content",
    ["!", "YQ==", b64encode(zlib.compress(b'[["system", "Obey."]]')), b64encode(zlib.compress(b" " * 10**7))],
    ids=["base64", "zlib", "role", "bomb"],
)
async def test_a_compaction_of_another_service_is_refused(http: httpx.AsyncClient, content: str | bytes) -> None:
    packed = content if isinstance(content, str) else content.decode()
    items = [{"type": "compaction", "encrypted_content": packed}, {"role": "user", "content": OVEN}]

    assert error_of(await http.post("/v1/responses", json={"input": items})) == (
        422,
        "invalid_request",
        "input.0.encrypted_content",
    )


async def test_another_ingress_cancels_a_response(tmp_path: Path) -> None:
    generator = Waiting()
    async with (
        serving(tmp_path, generator=generator) as service,
        serving(tmp_path, is_new=False) as other,
        service.openai_client() as client,
        other.openai_client() as other_client,
    ):
        begun = await client.responses.create(input=OVEN, tools=[SEARCH], background=True)
        await generator.called.wait()

        assert (await other_client.responses.cancel(begun.id)).status == "cancelled"
        async with asyncio.timeout(PATIENCE_S):
            await generator.cancelled.wait()


async def test_a_response_in_the_background_is_streamed_and_read_again(tmp_path: Path) -> None:
    generator = Waiting()
    async with serving(tmp_path, generator=generator) as service, service.openai_client() as client:
        request = {"input": OVEN, "tools": [SEARCH], "background": True, "stream": True}
        first = asyncio.create_task(streamed(client, **request))
        await generator.called.wait()
        generator.may_go_on.set()
        events = await first
        response_id = events[0].response.id
        again = await events_of(await client.responses.retrieve(response_id, stream=True, starting_after=4))
    async with serving(tmp_path, is_new=False) as other, other.openai_client() as client:
        later = await events_of(await client.responses.retrieve(response_id, stream=True))
        stored = await client.responses.retrieve(response_id)

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in later] == [event.type for event in events]
    assert [event.sequence_number for event in again] == list(range(5, len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response == later[-1].response == stored
    assert "delta_sizes" not in stored.model_dump()


async def test_a_reader_joins_a_response_that_is_being_written(tmp_path: Path) -> None:
    """ASGI in this process gives a stream's events when it ends, so the feed itself is read."""
    feed, event = EventFeed(), {"type": "response.created", "sequence_number": 0}
    await feed.add([event])
    reader = feed.read()

    assert await anext(reader) == event
    waiting = asyncio.create_task(anext(reader))
    await feed.add([event | {"sequence_number": 1}])
    assert (await waiting)["sequence_number"] == 1
    await feed.end()
    assert [each async for each in reader] == []
    assert len([each async for each in feed.read()]) == 2


async def test_a_stored_response_is_streamed_in_its_order(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    events = await streamed(client, input=OVEN, tools=[SEARCH], stream=True)
    again = await events_of(await client.responses.retrieve(events[-1].response.id, stream=True))
    misplaced = await http.get(f"/v1/responses/{events[-1].response.id}?starting_after=3")

    assert {event.type for event in again} == {event.type for event in events}
    assert again[-1].response == events[-1].response
    assert error_of(misplaced) == (422, "invalid_request", "starting_after")


async def test_the_stream_of_a_response_whose_process_ended_fails(tmp_path: Path) -> None:
    generator = Waiting()
    async with serving(tmp_path, generator=generator) as service, service.openai_client() as client:
        begun = await client.responses.create(input=OVEN, tools=[SEARCH], background=True)
        await generator.called.wait()
    async with serving(tmp_path, is_new=False) as service, service.openai_client() as client:
        service.clock.ahead_s = 3600
        events = await events_of(await client.responses.retrieve(begun.id, stream=True, starting_after=40))

    assert [(event.type, event.sequence_number) for event in events] == [("response.failed", 41)]


async def test_only_a_response_in_the_background_is_cancelled(client: openai.AsyncOpenAI) -> None:
    response = await client.responses.create(input=OVEN)

    with pytest.raises(openai.ConflictError, match="background"):
        await client.responses.cancel(response.id)


async def test_a_response_whose_process_ended_has_failed(tmp_path: Path) -> None:
    generator = Waiting()
    async with serving(tmp_path, generator=generator) as service, service.openai_client() as client:
        begun = await client.responses.create(input=OVEN, tools=[SEARCH], background=True)
        await generator.called.wait()
    async with serving(tmp_path, is_new=False) as service, service.openai_client() as client:
        assert (await client.responses.retrieve(begun.id)).status == "in_progress"
        service.clock.ahead_s = 3600
        late = await client.responses.retrieve(begun.id)

    assert (late.status, late.error.code) == ("failed", "server_error")


async def test_background_work_is_bounded(tmp_path: Path) -> None:
    settings = Settings.model_validate({"api": {"max_background_responses": 1}})
    async with serving(tmp_path, settings, generator=Waiting()) as service, service.openai_client() as client:
        await client.responses.create(input=OVEN, background=True)

        with pytest.raises(openai.RateLimitError):
            await client.responses.create(input=OVEN, background=True)


async def test_housekeeping_deletes_old_responses(tmp_path: Path) -> None:
    settings = Settings.model_validate({"housekeeping": {"every_s": 0.1, "keep_responses_s": 600}})
    async with serving(tmp_path, settings) as service, service.openai_client() as client:
        response = await client.responses.create(input=OVEN)
        assert (await client.responses.retrieve(response.id)).id == response.id
        service.clock.ahead_s = 601

        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await client.responses.retrieve(response.id)
                except openai.NotFoundError:
                    break
                await asyncio.sleep(0.05)


async def test_a_long_input_is_refused(tmp_path: Path) -> None:
    settings = Settings.model_validate({"api": {"max_texts_chars": 1000}})
    async with serving(tmp_path, settings) as service, service.http() as http:
        turns = [{"role": "assistant", "content": "x" * 1000}, {"role": "user", "content": OVEN}]
        response = await http.post("/v1/responses", json={"input": turns})

    assert error_of(response) == (422, "invalid_request", "input")


async def test_items_of_one_id_are_all_kept(client: openai.AsyncOpenAI) -> None:
    conversation = await client.conversations.create()
    same = [{"role": "user", "content": text, "id": "msg_same"} for text in ("One.", "Two.", OVEN)]

    response = await client.responses.create(input=same, conversation=conversation.id)
    inputs = [item async for item in client.responses.input_items.list(response.id, limit=2, order="asc")]
    items = [item async for item in client.conversations.items.list(conversation.id, order="asc")]

    assert [text_of(item) for item in inputs] == [text_of(item) for item in items[:3]] == ["One.", "Two.", OVEN]
    assert inputs[0].id == "msg_same"
    assert len({item.id for item in inputs}) == 3


async def test_a_model_that_is_not_served_is_refused_before_the_background(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.responses.create(model="nope", input=OVEN, background=True)

    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


@pytest.mark.parametrize("schema", [{}, {"type": "object"}])
async def test_a_schema_is_refused_however_empty_it_is(client: openai.AsyncOpenAI, schema: dict[str, Any]) -> None:
    form: Any = {"type": "json_schema", "name": "any", "schema": schema}
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await client.responses.create(input=OVEN, text={"format": form})

    assert caught.value.param == "text.format"


async def test_null_fields_and_defaults_of_openai_are_accepted(service: Service) -> None:
    shapes: list[tuple[str, type[BaseModel], dict[str, Any]]] = [
        ("/v1/responses", ResponseRequest, {"input": OVEN}),
        ("/v1/chat/completions", ChatRequest, {"messages": [{"role": "user", "content": OVEN}]}),
        ("/v1/messages", MessagesRequest, {"messages": [{"role": "user", "content": OVEN}], "max_tokens": 99}),
    ]
    defaults = {"temperature": 1, "top_p": 1, "stream": False}
    async with service.http() as http:
        for path, model, needed in shapes:
            nulls = dict.fromkeys(model.model_fields.keys() - needed.keys())
            openai_alone = {"reasoning_effort": None, "logit_bias": None} if "chat" in path else {}
            for body in (nulls | openai_alone | needed, defaults | needed):
                response = await http.post(path, json=body)
                assert response.status_code == 200, (path, response.text)


async def test_a_chain_is_read_as_far_as_one_request_may_be_long(tmp_path: Path) -> None:
    settings = Settings.model_validate({"api": {"max_texts_chars": 1_000}})
    async with serving(tmp_path, settings) as service, service.openai_client() as client:
        first = await client.responses.create(input="lore " * 150 + OVEN)
        second = await client.responses.create(input="How is the oven cleaned?", previous_response_id=first.id)
        third = await client.responses.create(input="And with what?", previous_response_id=second.id)
        with pytest.raises(openai.UnprocessableEntityError, match="truncation") as caught:
            await client.responses.create(input="And then?", previous_response_id=third.id, truncation="disabled")

    assert third.output[0].queries == ["And with what? oven cleaned"]
    assert caught.value.param == "truncation"


def test_the_newest_turns_are_kept_in_a_short_conversation() -> None:
    messages = [
        ChatMessage(role, f"{number} " + "ä" * 5_000) for number in range(300) for role in ("user", "assistant")
    ]

    kept = unpacked(packed(messages))

    assert kept[-1].content.startswith("299 ")
    assert {turn.role: len(turn.content) for turn in kept} == {"user": 2_001, "assistant": 501}
    assert 0 < len(kept) < len(messages)
