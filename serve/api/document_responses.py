"""Responses from documents: the query of a request, and the events of its answer."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from models.answer_form import AnswerForm
from models.corpus.conversations import Item
from models.corpus.turn_vectors import TurnSource
from models.errors.access import ForbiddenError
from models.errors.requests import InvalidRequestError
from models.functions import Functions
from models.types.scope import Scope
from serve.api.answers import answers_next, check_question
from serve.api.chat_request import DEFAULT_STORES, FileSearchTool
from serve.api.filters import to_filter
from serve.api.plain_responses import to_choice, to_tool
from serve.api.ranking import DEFAULT_NUM_RESULTS, to_options
from serve.api.response_events import ResponseEvents
from serve.api.response_items import text_of, to_messages
from serve.api.response_object import Body, Draft, Ended, answer_item, answered_response, call_item, search_item
from serve.api.response_request import ResponseRequest
from serve.conversations.config import MemoryConfig
from serve.pipelines.answering import Answered, Event, Memory, PassagesFound, Query, TextGenerated, Turn

MAX_REMEMBERED_CHARS = 2_000  # of a message; its beginning


def to_query(
    request: ResponseRequest, earlier: Sequence[Item], inputs: Sequence[Item], adapter: str | None, tenant: str
) -> Query:
    """The question with its conversation. Raises InvalidRequestError if the last message is not the user's."""
    items = [*earlier, *inputs]
    functions = to_functions(request, items)
    messages = to_messages(items, request.instructions, functions is not None)
    if not messages or not answers_next(messages[-1].role, functions):
        raise InvalidRequestError("the last item must be a message of the user, with text", "input")
    check_question(messages, "input")
    search = request.file_search or FileSearchTool(type="file_search", vector_store_ids=DEFAULT_STORES)
    return Query(
        messages=messages,
        scope=Scope(tenant, search.vector_store_ids),
        top_k=search.max_num_results or DEFAULT_NUM_RESULTS,
        sampling=request.sampling(adapter),
        where=to_filter(search.filters),
        options=to_options(request.mode, search.ranking_options, request.query_understanding, request.degrade),
        # A text in place of JSON or of a call would break its reader; what else is left out is named in `ignored`.
        extra=request.extra or ("refuse" if request.response_schema is not None or functions else "ignore"),
        grounded=request.grounded,
        form=AnswerForm(request.response_mode, request.language, request.answer_length),
        names_documents=request.file_search is not None,
        is_whole=request.truncation == "disabled",
        functions=functions,
        memory=to_memory(request, () if functions else earlier),
    )


def to_functions(request: ResponseRequest, items: Sequence[Item]) -> Functions | None:
    """What the model may call. None if the request has neither functions nor results after the question."""
    tools = tuple(to_tool(tool) for tool in request.functions)
    if not tools and (not items or items[-1]["type"] != "function_call_output"):
        return None
    is_optional = request.extra == "ignore"
    return Functions(tools, to_choice(request) or "auto", request.parallel_tool_calls, is_optional)


def to_memory(request: ResponseRequest, earlier: Sequence[Item]) -> Memory | None:
    """What the answer may remember. None for a request that continues nothing, and names no user to remember."""
    source = None
    if request.conversation_id is not None:
        source = TurnSource("conversation", request.conversation_id)
    elif request.previous_response_id is not None:
        source = TurnSource("response", request.previous_response_id)
    if source is None and not request.user_id:
        return None
    turns = [
        Turn(item["id"], item["role"], text[:MAX_REMEMBERED_CHARS])
        for item in earlier
        if item["type"] == "message" and item["role"] in ("user", "assistant") and (text := text_of(item)).strip()
    ]
    return Memory(source, tuple(turns), request.user_id, bool(request.user_id) and request.is_stored)


def check_memory(request: ResponseRequest, config: MemoryConfig, user: str | None = None) -> None:
    """Raises InvalidRequestError for facts about users that are off, or about nobody.

    `user` is the caller, if it is a person: its token decides whose facts it reads. Raises ForbiddenError for another.
    """
    if not request.remember:
        return
    if not config.user_facts:
        raise InvalidRequestError("facts about users are not kept; set memory.user_facts, or leave it out", "remember")
    if not request.user_id:
        raise InvalidRequestError("facts are of a user; send safety_identifier or user", "remember")
    if user is not None and request.user_id != user:
        raise ForbiddenError("a token reads the facts of its own `sub` alone; send it as safety_identifier")


async def document_answer(
    answer: AsyncGenerator[Event, None], draft: Draft, events: ResponseEvents
) -> AsyncGenerator[Body | Ended, None]:
    """The events of the output, then the whole response."""
    async with aclosing(answer):
        async for event in answer:
            for body in _events(event, events):
                yield body
            if isinstance(event, Answered):
                yield answered_response(draft, event, events.output)


def _events(event: Event, events: ResponseEvents) -> Sequence[Body]:
    match event:
        case PassagesFound():
            item = search_item(event)
            return list(events.search(item)) if item else ()
        case TextGenerated():
            return list(events.text(event.text))
        case Answered():
            message = events.message_end(answer_item(event, events.message_id)) if event.text or not event.calls else ()
            calls = (body for call in event.calls for body in events.call(call_item(call)))
            return [*message, *calls]
    return ()  # a citation is an annotation, whose place is known at the end
