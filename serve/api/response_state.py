"""What a response reads: the items of its request, and those of the response or conversation that it continues."""

import asyncio
from collections.abc import Sequence

from models.corpus.conversations import Item
from models.corpus.history import HistoryLimit, num_chars_of
from models.corpus.ids import random_id
from models.errors.requests import InvalidRequestError
from serve.api.ids import named_field
from serve.api.response_items import ID_PREFIXES, MAX_ITEMS, referenced_ids, to_items
from serve.api.response_request import ResponseInput
from serve.api.services import Services


async def new_items(body: ResponseInput, services: Services, tenant: str) -> list[Item]:
    """The items of the input. Raises InvalidRequestError for an unknown reference."""
    sent = body.input or ()
    names = referenced_ids(sent)
    stored = await asyncio.to_thread(services.corpus.responses.items_by_id, tenant, names) if names else {}
    return _with_ids_once(to_items(sent, stored))


def _with_ids_once(items: Sequence[Item]) -> list[Item]:
    """An item whose id an earlier one has gets an id of its own: some agents give all items the same one."""
    taken, distinct = set[str](), list[Item]()
    for item in items:
        distinct.append(item | {"id": random_id(ID_PREFIXES[item["type"]])} if item["id"] in taken else item)
        taken.add(item["id"])
    return distinct


def history_limit(inputs: Sequence[Item], services: Services, is_whole: bool = False) -> HistoryLimit:
    """What fits beside these inputs in the texts of one request."""
    return HistoryLimit(MAX_ITEMS, services.settings.api.max_texts_chars - sum(map(num_chars_of, inputs)), is_whole)


async def continued(body: ResponseInput, services: Services, tenant: str, limit: HistoryLimit) -> Sequence[Item]:
    """The earlier items, oldest first.

    Raises NotFoundError, ConflictError for a response in progress, and as HistoryLimit.
    """
    corpus, previous, conversation = services.corpus, body.previous_response_id, body.conversation_id
    if previous is not None and conversation is not None:
        message = "previous_response_id and conversation both say what to continue; send one of them"
        raise InvalidRequestError(message, "previous_response_id")
    if previous is not None:
        with named_field("previous_response_id"):
            return await asyncio.to_thread(corpus.responses.history, tenant, previous, limit)
    if conversation is not None:
        with named_field("conversation"):
            return await asyncio.to_thread(corpus.conversations.history, tenant, conversation, limit)
    return ()
