"""The names that a request may give as `model`: the service's own, the alias that a stage serves, or its adapters."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from models.errors.configuration import ModelNotFoundError
from models.errors.stages import StageUnavailableError
from models.generation.own_context import brings_context
from models.generation.quoted_completion import conversation
from models.types.generation import CompletionRequest
from models.types.request_context import RequestContext
from serve.api.client_names import SERVICE_MODEL
from serve.api.services import Services

GENERATE = "generate"


async def check_served(name: str, stage: str, services: Services, context: RequestContext) -> None:
    """Raises ModelNotFoundError unless `name` is the service's own, or a name of the model that the stage serves.

    The stage is asked only when `name` is none of the model that it last reported, so a steady client costs nothing.
    """
    if name == SERVICE_MODEL or name in _names(services.aliases.get(stage, ""), stage, services):
        return
    names = _names(await _reported_alias(stage, services, context), stage, services)
    if name not in names:
        raise ModelNotFoundError("model", name, [SERVICE_MODEL, *names])


async def check_generates(name: str, services: Services, context: RequestContext) -> None:
    """Raises ModelNotFoundError for a name that the generator does not serve, as its own refusal would later."""
    status = await services.stages[GENERATE].status(context)
    aliases = [alias for alias in (status.model, status.canary, *(alias for alias, _ in status.models)) if alias]
    names = [each for alias in dict.fromkeys(aliases) for each in _names(alias, GENERATE, services)]
    if names and name not in (SERVICE_MODEL, *names):
        raise ModelNotFoundError("model", name, [SERVICE_MODEL, *names])


async def check_answered(name: str, answered_by: str, stage: str, services: Services, context: RequestContext) -> None:
    """Check `name` again after the stage has answered: its model may have changed, or a canary may have answered."""
    if name not in (SERVICE_MODEL, answered_by):
        services.aliases.pop(stage, None)
        await check_served(name, stage, services, context)


async def served_adapter(name: str, services: Services, context: RequestContext) -> str | None:
    """The LoRA adapter that `name` is; None for the service itself and the served alias. Raises as check_served."""
    await check_served(name, GENERATE, services, context)
    return None if name in (SERVICE_MODEL, services.aliases.get(GENERATE)) else name


async def served_alias(name: str, services: Services, context: RequestContext) -> str:
    """`name`, or the alias of the generation model that serves now if `name` is the service's own.

    Raises StageUnavailableError while the first model loads.
    """
    if name != SERVICE_MODEL:
        return name
    alias = await _reported_alias(GENERATE, services, context)
    if not alias:
        raise StageUnavailableError(GENERATE)
    return alias


def needs_documents(request: CompletionRequest, services: Services) -> bool:
    """Whether the model that the request names only quotes, and the request brings nothing to quote."""
    name = str(request.body.get("model"))
    if name not in services.catalog.entries["generation"] or not services.catalog.only_quotes(name):
        return False
    messages = conversation(request)
    return any(message.role == "user" for message in messages) and not brings_context(messages)


async def completed(
    request: CompletionRequest, services: Services, context: RequestContext
) -> AsyncGenerator[dict[str, Any], None]:
    """The generator's answers. Raises ModelNotFoundError with every name that works, as check_served does."""
    async with aclosing(services.completions.complete(request, context)) as answers:
        try:
            async for answer in answers:
                yield answer
        except ModelNotFoundError as error:
            raise ModelNotFoundError("model", error.name, [SERVICE_MODEL, *error.aliases]) from None


async def counted_tokens(body: dict[str, Any], services: Services, context: RequestContext) -> int:
    """The tokens of a chat's messages and functions, as the named model counts them. Raises as `completed`."""
    alias = await served_alias(str(body.get("model") or SERVICE_MODEL), services, context)
    await check_served(alias, GENERATE, services, context)
    request = CompletionRequest(context.request_id, "chat", body | {"model": alias})
    return await services.completions.count_tokens(request, context.at_most(services.settings.query.total_s))


async def _reported_alias(stage: str, services: Services, context: RequestContext) -> str:
    alias = services.aliases[stage] = (await services.stages[stage].status(context)).model
    return alias


def _names(alias: str, stage: str, services: Services) -> list[str]:
    """The alias, if it is not empty, and the adapters of a generation model."""
    adapters = services.catalog.adapters(alias) if alias and stage == GENERATE else []
    return [alias, *adapters] if alias else []
