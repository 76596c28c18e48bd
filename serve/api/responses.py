"""/v1/responses in OpenAI's shape: answers from documents, as chat gives them, or of a language model alone."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.corpus.conversations import Item
from models.corpus.responses import StoredResponse
from models.corpus.vector_stores import check_metadata
from models.errors.base import RagError
from models.errors.requests import ConflictError, InvalidRequestError
from models.types.request_context import RequestContext
from serve.api.answers import accept_query, check_grounding
from serve.api.background_responses import EventFeed
from serve.api.chat_request import IGNORED
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect, start_stream
from serve.api.document_responses import check_memory, document_answer, to_query
from serve.api.includes import IncludesDep
from serve.api.lists import PageDep, to_list
from serve.api.plain_responses import plain_answer, to_completion
from serve.api.response_events import ResponseEvents
from serve.api.response_items import check_texts, shown_item
from serve.api.response_object import DELTA_SIZES, OVERDUE, Body, Draft, Ended, failed_response, shown_response
from serve.api.response_request import ResponseRequest, check_documents, check_plain, check_request
from serve.api.response_sse import to_sse
from serve.api.response_state import continued, history_limit, new_items
from serve.api.response_streams import streamed_again
from serve.api.served_models import check_generates, completed, needs_documents, served_adapter
from serve.api.services import Services, ServicesDep, TenantDep, TenantRoute

Answer = AsyncGenerator[Body | Ended, None]

logger = logging.getLogger(__name__)
router = APIRouter(route_class=TenantRoute)
OVERDUE_MARGIN_S = 60  # a response in the background has ended by then, or its process has
# Fields of the pipeline in errors, and what this API calls them.
FIELDS = {
    "response_format": "text.format",
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
}


@router.post("/v1/responses", response_model=None)
async def create_response(
    body: ResponseRequest, request: Request, services: ServicesDep, context: ContextDep
) -> Response | Body:
    """Answers the input, from documents with `file_citation` annotations, or by a language model alone."""
    check_memory(body, services.settings.memory, request.state.caller.user)
    draft, earlier = await _begin(body, services, context)
    events = ResponseEvents(body.includes_results)
    answer = await _answer(draft, earlier, events, services, context)
    if body.background:
        return await _in_background(answer, draft, events, services, context)
    if body.stream:
        opening = list(events.opening(draft.body("in_progress")))  # numbered before the first event of the answer
        started = await start_stream(request, answer)
        return EventSourceResponse(_streamed(opening, started, draft, events, services, context.tenant))
    ended = await cancel_on_disconnect(request, _whole(answer))
    await _save(ended, draft, services, context.tenant)
    return shown_response(ended.body, ended.output, body.includes_results)


@dataclass
class StreamQuery:
    """How a stored response is streamed again."""

    stream: bool = False
    starting_after: Annotated[int | None, Query(ge=0, description="Number of the last event that the client has.")] = (
        None
    )
    include_obfuscation: Annotated[bool | None, Query(description=IGNORED)] = None


@router.get("/v1/responses/{response_id}", response_model=None)
async def get_response(
    response_id: str,
    services: ServicesDep,
    tenant: TenantDep,
    with_results: IncludesDep,
    options: Annotated[StreamQuery, Depends()],
) -> Response | Body:
    """Returns a stored response. One in the background has the status in_progress until it has ended.

    With `stream`, its events are sent again, from the one after `starting_after` on.
    """
    stored = await asyncio.to_thread(services.corpus.responses.get, tenant, response_id)
    if options.stream:
        after = -1 if options.starting_after is None else options.starting_after
        return EventSourceResponse(streamed_again(tenant, response_id, after, with_results, services))
    if options.starting_after is not None:
        raise InvalidRequestError("starting_after needs stream: true", "starting_after")
    return _shown(stored, services, with_results)


@router.delete("/v1/responses/{response_id}")
async def delete_response(response_id: str, services: ServicesDep, tenant: TenantDep) -> Body:
    """Deletes a response. Those that continue it forget it; items in a conversation stay."""
    await asyncio.to_thread(services.corpus.responses.delete, tenant, response_id)
    services.background_responses.cancel(services.corpus.responses.stored_under(tenant), response_id)
    return {"id": response_id, "object": "response", "deleted": True}


@router.post("/v1/responses/{response_id}/cancel")
async def cancel_response(response_id: str, services: ServicesDep, tenant: TenantDep) -> Body:
    """Cancels a response in the background. One that has ended is returned as it is."""
    responses = services.corpus.responses
    stored = await asyncio.to_thread(responses.get, tenant, response_id)
    if not stored.body["background"]:
        raise ConflictError(f"response {response_id!r} was not made with `background`; only such ones are cancelled")
    stored = await asyncio.to_thread(responses.cancel, tenant, response_id)
    services.background_responses.cancel(responses.stored_under(tenant), response_id)
    return _shown(stored, services, False)


@router.get("/v1/responses/{response_id}/input_items")
async def list_input_items(
    response_id: str, services: ServicesDep, tenant: TenantDep, page: PageDep, with_results: IncludesDep
) -> Body:
    """Lists the input of a response, without that of the responses that it continues."""
    items = await asyncio.to_thread(services.corpus.responses.inputs, tenant, response_id, page)
    return to_list(items, lambda item: shown_item(item, with_results))


async def _begin(body: ResponseRequest, services: Services, context: RequestContext) -> tuple[Draft, list[Item]]:
    """The response to write, and the earlier items of its conversation. Raises RagError if it cannot be continued."""
    check_request(body)
    check_metadata(body.metadata or {})
    corpus, tenant = services.corpus, context.tenant
    inputs = await new_items(body, services, tenant)
    check_texts(inputs, body.instructions, services.settings.api.max_texts_chars)
    draft = Draft(body, inputs, body.conversation_id, int(corpus.responses.clock()))
    limit = history_limit(inputs, services, is_whole=body.truncation == "disabled")
    return draft, list(await continued(body, services, tenant, limit))


async def _answer(
    draft: Draft, earlier: list[Item], events: ResponseEvents, services: Services, context: RequestContext
) -> Answer:
    """The answer, before it has begun. Raises RagError for a request that cannot be answered."""
    body, completion = draft.request, to_completion(draft, [*earlier, *draft.inputs], context.request_id)
    if not body.is_from_documents and (body.functions or not needs_documents(completion, services)):
        check_plain(body)
        if body.background:
            await check_generates(body.model, services, context)
        chunks = completed(completion, services, context.at_most(services.settings.query.total_s))
        return _with_own_fields(plain_answer(chunks, draft, events))
    check_documents(body)
    adapter = await served_adapter(body.model, services, context)
    query = to_query(body, earlier, draft.inputs, adapter, context.tenant)
    check_grounding(query.grounded, query.sampling)
    query = await accept_query(query, services, "input")
    return _with_own_fields(document_answer(services.query.answer(query, context), draft, events))


async def _with_own_fields(answer: Answer) -> Answer:
    """The answer, with errors that name the fields of this API."""
    async with aclosing(answer):
        try:
            async for event in answer:
                yield event
        except InvalidRequestError as error:
            if error.param not in FIELDS:
                raise
            name = FIELDS[error.param]
            message = error.message.replace(f"leave {error.param} out", f"leave {name} out")
            raise InvalidRequestError(message, name) from None


async def _whole(answer: Answer, feed: EventFeed | None = None) -> Ended:
    async with aclosing(answer):
        async for event in answer:
            if isinstance(event, Ended):
                return event
            if feed is not None:
                await feed.add((event,))
    raise AssertionError("an answer ends with Ended or raises")


async def _streamed(
    opening: list[Body], answer: Answer, draft: Draft, events: ResponseEvents, services: Services, tenant: str
) -> AsyncIterator[ServerSentEvent]:
    """OpenAI's events. The response is stored before the last one. An error ends them with response.failed."""
    try:
        async with aclosing(answer):
            for body in opening:
                yield to_sse(body)
            async for event in answer:
                if isinstance(event, Ended):
                    await _save(event, draft, services, tenant)
                for body in events.ending(event) if isinstance(event, Ended) else (event,):
                    yield to_sse(body)
    except RagError as error:
        failed = failed_response(draft, error, events.output)
        await _save_failed(failed, draft, services, tenant)
        for body in events.ending(failed):
            yield to_sse(body)


async def _in_background(
    answer: Answer, draft: Draft, events: ResponseEvents, services: Services, context: RequestContext
) -> Response | Body:
    """Store the response in progress, and write it in a task. A client that leaves the stream changes nothing."""
    in_progress = draft.body("in_progress")
    overdue_at = draft.created_at + int(services.settings.query.total_s) + OVERDUE_MARGIN_S
    stored = draft.stored("in_progress", in_progress, overdue_at=overdue_at)
    feed = EventFeed() if draft.request.stream else None
    responses, background = services.corpus.responses, services.background_responses
    with background.place(context.tenant, services.settings.api.max_background_responses):
        await asyncio.to_thread(responses.add, context.tenant, stored, draft.inputs)
        key = (responses.stored_under(context.tenant), draft.response_id)
        work = _finish(answer, draft, events, services, context.tenant, feed)
        background.start(key, work, responses.unfinished, feed)
    if feed is None:
        return shown_response(in_progress, (), False)
    return EventSourceResponse(_sent(feed))


async def _sent(feed: EventFeed) -> AsyncIterator[ServerSentEvent]:
    async for event in feed.read():
        yield to_sse(event)


async def _finish(
    answer: Answer, draft: Draft, events: ResponseEvents, services: Services, tenant: str, feed: EventFeed | None
) -> None:
    """Write a response that is stored already. Its last event comes when its end is stored."""
    if feed is not None:
        await feed.add(list(events.opening(draft.body("in_progress"))))
    conversation_id = draft.conversation_id
    try:
        ended = await _whole(answer, feed)
    except RagError as error:
        ended, conversation_id = failed_response(draft, error, events.output), None
    sizes = {} if feed is None else {DELTA_SIZES: events.delta_sizes}
    stored = draft.stored(ended.status, ended.body | sizes, ended.output)
    is_stored = await asyncio.to_thread(services.corpus.responses.finish, tenant, stored, conversation_id)
    if feed is not None and is_stored:
        await feed.add(list(events.ending(ended)))


async def _save(ended: Ended, draft: Draft, services: Services, tenant: str) -> None:
    """Store what the request wants stored; a conversation gets its items in any case."""
    corpus, conversation_id = services.corpus, draft.conversation_id if ended.status != "failed" else None
    if draft.request.is_stored:
        stored = draft.stored(ended.status, ended.body, ended.output)
        await asyncio.to_thread(corpus.responses.add, tenant, stored, draft.inputs, conversation_id)
    elif conversation_id is not None:
        items = [*draft.inputs, *ended.output]
        await asyncio.to_thread(corpus.conversations.append_new, tenant, conversation_id, items)


async def _save_failed(failed: Ended, draft: Draft, services: Services, tenant: str) -> None:
    """The client is told why the response failed, even if that cannot be stored."""
    try:
        await _save(failed, draft, services, tenant)
    except RagError as error:
        logger.warning("a failed response was not stored: %s", error)


def _shown(stored: StoredResponse, services: Services, with_results: bool) -> Body:
    """A stored response. One in the background whose process has ended has failed."""
    body = stored.body | {"status": stored.status}
    is_running = stored.status == "in_progress" and stored.overdue_at is not None
    if is_running and (stored.overdue_at or 0) < services.corpus.responses.clock():
        body |= {"status": "failed", "error": OVERDUE}
    return shown_response(body, stored.output, with_results)
