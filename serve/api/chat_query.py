"""A chat in OpenAI's shape as a question to the documents."""

from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from models.answer_form import AnswerForm
from models.errors.requests import InvalidRequestError
from models.functions import Functions
from models.generation.function_calls import TOOL
from models.types.generation import ChatMessage
from models.types.scope import Scope
from serve.api.answers import answers_next, check_grounding, check_question, is_turn
from serve.api.chat_request import ChatRequest
from serve.api.filters import to_filter
from serve.api.ranking import DEFAULT_NUM_RESULTS, to_options
from serve.pipelines.answering import Query


def as_documents(body: dict[str, Any]) -> ChatRequest:
    """A chat's body, answered from documents. Raises RequestValidationError."""
    try:
        return ChatRequest.model_validate(body)
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise RequestValidationError(problems, body=body) from None


def to_query(body: ChatRequest, adapter: str | None, tenant: str) -> Query:
    """The question of a chat, its conversation before it. Raises InvalidRequestError."""
    functions = body.functions
    messages = _turns(body, functions)
    check_grounding(body.grounded, body.sampling(adapter))
    search = body.search
    return Query(
        messages=messages,
        scope=Scope(tenant, search.vector_store_ids),
        top_k=search.max_num_results or DEFAULT_NUM_RESULTS,
        sampling=body.sampling(adapter),
        where=to_filter(search.filters),
        options=to_options(body.mode, search.ranking_options, body.query_understanding, body.degrade),
        extra=body.extra,
        grounded=body.grounded,
        form=AnswerForm(body.response_mode, body.language, body.length),
        names_documents=body.vector_store_ids is not None or body.file_search is not None,
        functions=functions,
    )


def _turns(body: ChatRequest, functions: Functions | None) -> tuple[ChatMessage, ...]:
    """The conversation as a model reads it. Raises InvalidRequestError for one that ends with nothing to answer."""
    *earlier, last = (message.to_chat_message() for message in body.messages)
    if not answers_next(last.role, functions):
        raise InvalidRequestError("the last message must have the role user", "messages")
    if functions is None:
        earlier = [ChatMessage(turn.role, turn.content) for turn in earlier if turn.role != TOOL]
    messages = (*(turn for turn in earlier if is_turn(turn)), last)
    check_question(messages, "messages")
    return messages
