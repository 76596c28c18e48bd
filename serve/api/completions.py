"""POST /v1/completions in OpenAI's legacy shape: the language model continues a prompt, without documents."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import field_validator
from pydantic_core import PydanticCustomError

from serve.api.context import ContextDep
from serve.api.plain_chat import MAX_CHOICES, PlainRequest, plain_response
from serve.api.served_models import served_alias
from serve.api.services import ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)


class PlainCompletion(PlainRequest):
    """OpenAI's request to a language model or one of its adapters. `prompt` has texts, or the model's token ids."""

    prompt: str | list[str] | list[int] | list[list[int]]

    @field_validator("prompt")
    @classmethod
    def _within_limit(cls, prompt: Any) -> Any:
        if isinstance(prompt, list) and len(prompt) > MAX_CHOICES and not isinstance(prompt[0], int):
            raise PydanticCustomError("prompts", "send at most {limit} prompts in a request", {"limit": MAX_CHOICES})
        return prompt


@router.post("/v1/completions", response_model=None)
async def completions(
    body: PlainCompletion, request: Request, services: ServicesDep, context: ContextDep
) -> Response | dict[str, Any]:
    """Continues the prompt, without documents."""
    named = body.model_copy(update={"model": await served_alias(body.model, services, context)})
    return await plain_response(named.to_request("completion", context.request_id), request, services, context)
