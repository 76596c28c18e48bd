"""POST /v1/responses/input_tokens: how many tokens a response would read, as the serving model counts.

It counts what the client sends and what that continues. Passages and the service's own instructions come on top: what
is found is not known before the search.
"""

from typing import Any

from fastapi import APIRouter

from serve.api.context import ContextDep
from serve.api.plain_responses import prompt_fields
from serve.api.response_items import check_texts
from serve.api.response_request import CountedInput
from serve.api.response_state import continued, history_limit, new_items
from serve.api.served_models import counted_tokens
from serve.api.services import ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)


@router.post("/v1/responses/input_tokens")
async def count_input_tokens(body: CountedInput, services: ServicesDep, context: ContextDep) -> dict[str, Any]:
    """Counts the tokens of an input, with its instructions, its functions and what it continues."""
    inputs = await new_items(body, services, context.tenant)
    check_texts(inputs, body.instructions, services.settings.api.max_texts_chars)
    earlier = await continued(body, services, context.tenant, history_limit(inputs, services))
    items = [*earlier, *inputs]
    num_tokens = await counted_tokens(prompt_fields(body, items), services, context)
    return {"object": "response.input_tokens", "input_tokens": num_tokens}
