"""The events of a response that is stored, or written in the background: on any ingress, from any event on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from sse_starlette import ServerSentEvent

from models.corpus.responses import StoredResponse
from serve.api.response_events import ResponseEvents
from serve.api.response_object import DELTA_SIZES, OVERDUE, Body, Ended
from serve.api.response_sse import to_sse
from serve.api.services import Services

POLL_S = 0.25  # between two looks at a response that another process writes
WITHOUT_END = ("in_progress", "cancelled")  # no event says that a response was cancelled: its stream ends


async def streamed_again(
    tenant: str, response_id: str, after: int, with_results: bool, services: Services
) -> AsyncIterator[ServerSentEvent]:
    """The events with higher numbers than `after`, then the end. Those of a response in progress as they come.

    A response that another ingress writes is streamed when it has ended.
    """
    feed = services.background_responses.feed(services.corpus.responses.stored_under(tenant), response_id)
    events = feed.read() if feed else _stored_events(tenant, response_id, with_results, services)
    last: Body | None = None
    async for event in events:
        last = event
        if event["sequence_number"] > after:
            yield to_sse(event)
    # A failure in the middle of a text has a lower number here than in its first stream.
    if last is not None and last["sequence_number"] <= after and last["type"] == "response.failed":
        yield to_sse(last | {"sequence_number": after + 1})


async def _stored_events(
    tenant: str, response_id: str, with_results: bool, services: Services
) -> AsyncGenerator[Body, None]:
    stored = await _ended(tenant, response_id, services)
    sizes = stored.body.get(DELTA_SIZES, ())
    events = ResponseEvents(with_results)
    opening = stored.body | {"status": "in_progress", "completed_at": None, "error": None, "incomplete_details": None}
    for event in events.opening(opening):
        yield event
    for item in stored.output:
        for event in events.item(item, sizes):
            yield event
    status, body = stored.status, stored.body | {"status": stored.status}
    if status == "in_progress":  # its process has ended
        status, body = "failed", body | {"status": "failed", "error": OVERDUE}
    if status not in WITHOUT_END:
        for event in events.ending(Ended(status, body, stored.output)):
            yield event


async def _ended(tenant: str, response_id: str, services: Services) -> StoredResponse:
    """The response when it has ended, or is overdue. Raises NotFoundError if it is deleted meanwhile."""
    responses = services.corpus.responses
    while True:
        stored = await asyncio.to_thread(responses.get, tenant, response_id)
        if stored.status != "in_progress" or (stored.overdue_at or 0) < responses.clock():
            return stored
        await asyncio.sleep(POLL_S)
