"""/v1/conversations in OpenAI's shape: items that responses read and add to."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from models.corpus.conversations import Conversation, Item
from models.corpus.records import Page
from serve.api.includes import IncludesDep
from serve.api.lists import PageDep, to_list
from serve.api.response_items import InputItem, check_texts, referenced_ids, shown_item, to_items
from serve.api.response_request import Strict
from serve.api.services import Services, ServicesDep, TenantDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

MAX_NEW_ITEMS = 20  # of one request; OpenAI's
NewItems = Annotated[tuple[InputItem, ...], Field(max_length=MAX_NEW_ITEMS)]


class CreateConversation(Strict):
    """A new conversation, with its first items."""

    items: NewItems | None = None
    metadata: dict[str, str] | None = None


class UpdateConversation(Strict):
    """The metadata, which replaces the earlier one."""

    metadata: dict[str, str] | None


class AddItems(Strict):
    """Items to add at the end."""

    items: Annotated[NewItems, Field(min_length=1)]


@router.post("/v1/conversations")
async def create_conversation(
    services: ServicesDep, tenant: TenantDep, body: CreateConversation | None = None
) -> dict[str, Any]:
    """Creates a conversation. It is deleted `housekeeping.keep_conversations_s` after its last use."""
    body = body or CreateConversation()
    items = await _new_items(body.items or (), services, tenant)
    create = services.corpus.conversations.create
    return _to_body(await asyncio.to_thread(create, tenant, body.metadata or {}, items))


@router.get("/v1/conversations/{conversation_id}")
async def get_conversation(conversation_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Describes a conversation, without its items."""
    return _to_body(await asyncio.to_thread(services.corpus.conversations.get, tenant, conversation_id))


@router.post("/v1/conversations/{conversation_id}")
async def update_conversation(
    conversation_id: str, body: UpdateConversation, services: ServicesDep, tenant: TenantDep
) -> dict[str, Any]:
    """Replaces the metadata."""
    update = services.corpus.conversations.set_metadata
    return _to_body(await asyncio.to_thread(update, tenant, conversation_id, body.metadata or {}))


@router.delete("/v1/conversations/{conversation_id}")
async def delete_conversation(conversation_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes a conversation and its items. Responses in it stay."""
    await asyncio.to_thread(services.corpus.conversations.delete, tenant, conversation_id)
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}


@router.post("/v1/conversations/{conversation_id}/items")
async def add_items(
    conversation_id: str, body: AddItems, services: ServicesDep, tenant: TenantDep, with_results: IncludesDep
) -> dict[str, Any]:
    """Adds items at the end, and returns them."""
    items = await _new_items(body.items, services, tenant)
    await asyncio.to_thread(services.corpus.conversations.append, tenant, conversation_id, items)
    return _to_list(Page(tuple(items), False), with_results)


@router.get("/v1/conversations/{conversation_id}/items")
async def list_items(
    conversation_id: str, services: ServicesDep, tenant: TenantDep, page: PageDep, with_results: IncludesDep
) -> dict[str, Any]:
    """Lists the items, newest first."""
    items = await asyncio.to_thread(services.corpus.conversations.page, tenant, conversation_id, page)
    return _to_list(items, with_results)


@router.get("/v1/conversations/{conversation_id}/items/{item_id}")
async def get_item(
    conversation_id: str, item_id: str, services: ServicesDep, tenant: TenantDep, with_results: IncludesDep
) -> Item:
    """Returns one item."""
    item = await asyncio.to_thread(services.corpus.conversations.item, tenant, conversation_id, item_id)
    return shown_item(item, with_results)


@router.delete("/v1/conversations/{conversation_id}/items/{item_id}")
async def delete_item(conversation_id: str, item_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes one item, and returns the conversation."""
    delete = services.corpus.conversations.delete_item
    return _to_body(await asyncio.to_thread(delete, tenant, conversation_id, item_id))


async def _new_items(items: NewItems, services: Services, tenant: str) -> list[Item]:
    """The items as they are stored. Raises InvalidRequestError for long ones, and for an unknown reference."""
    names = referenced_ids(items)
    stored = await asyncio.to_thread(services.corpus.responses.items_by_id, tenant, names) if names else {}
    new = to_items(items, stored, "items")
    check_texts(new, None, services.settings.api.max_texts_chars, "items")
    return new


def _to_list(page: Page[Item], with_results: bool) -> dict[str, Any]:
    return to_list(page, lambda item: shown_item(item, with_results))


def _to_body(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.conversation_id,
        "object": "conversation",
        "created_at": conversation.created_at,
        "metadata": conversation.metadata,
    }
