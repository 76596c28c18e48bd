"""What a response would read: POST /v1/responses/input_tokens counts its tokens, and …/compact makes it short.

Tokens are those of what the client sends and what that continues, as the serving model counts. Passages and the
service's own instructions come on top: what is found is not known before the search.
"""

from typing import Any

from fastapi import APIRouter

from models.corpus.conversations import Item
from models.corpus.ids import random_id
from models.errors.requests import InvalidRequestError
from models.types.request_context import RequestContext
from serve.api.compaction import COMPACTION, MAX_CHARS, packed
from serve.api.context import ContextDep
from serve.api.plain_responses import prompt_fields
from serve.api.response_items import check_texts, to_messages
from serve.api.response_object import usage
from serve.api.response_request import CompactedInput, CountedInput, ResponseInput
from serve.api.response_state import continued, history_limit, new_items
from serve.api.served_models import counted_tokens
from serve.api.services import Services, ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)


@router.post("/v1/responses/input_tokens")
async def count_input_tokens(body: CountedInput, services: ServicesDep, context: ContextDep) -> dict[str, Any]:
    """Counts the tokens of an input, with its instructions, its functions and what it continues."""
    items = await _items(body, services, context)
    num_tokens = await counted_tokens(prompt_fields(body, items), services, context)
    return {"object": "response.input_tokens", "input_tokens": num_tokens}


@router.post("/v1/responses/compact")
async def compact(body: CompactedInput, services: ServicesDep, context: ContextDep) -> dict[str, Any]:
    """Makes a conversation short: send the `output` in place of its items. Nothing is stored."""
    items = await _items(body, services, context)
    messages = [message for message in to_messages(items, None) if message.role in MAX_CHARS]
    if not messages:
        raise InvalidRequestError("there is no message of the user or the assistant to make short", "input")
    item = {"id": random_id("cmp_"), "type": COMPACTION, "encrypted_content": packed(messages)}
    num_input, num_output = [
        await counted_tokens(prompt_fields(body, each), services, context) for each in (items, [item])
    ]
    return {
        "id": random_id("resp_"),
        "object": "response.compaction",
        "created_at": int(services.corpus.responses.clock()),
        "output": [item],
        "usage": usage(num_input, num_output),
    }


async def _items(body: ResponseInput, services: Services, context: RequestContext) -> list[Item]:
    """The items of the input after those that it continues."""
    inputs = await new_items(body, services, context.tenant)
    check_texts(inputs, body.instructions, services.settings.api.max_texts_chars)
    earlier = await continued(body, services, context.tenant, history_limit(inputs, services))
    return [*earlier, *inputs]
