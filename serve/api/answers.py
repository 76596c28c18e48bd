"""Run a query through the pipeline, the same for every API shape."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from models.errors.requests import InvalidRequestError
from models.functions import Functions
from models.generation.function_calls import TOOL
from models.types.generation import ChatMessage, SamplingOptions
from models.types.request_context import RequestContext
from serve.api.ids import named_field
from serve.api.query_text import check_query_texts
from serve.api.services import Services
from serve.api.store_metadata import to_form
from serve.pipelines.answering import Answered, Grounded, Query

NO_PROMPT_DETAILS = dict.fromkeys(("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"), 0)
NO_COMPLETION_DETAILS = dict.fromkeys(
    ("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"), 0
)


async def accept_query(query: Query, services: Services, param: str = "query") -> Query:
    """The query with the choices of its vector stores, which are marked as used.

    `param` is the field with the text.

    Raises InvalidRequestError for the text, NotFoundError for an unknown store, ConflictError for an expired one.
    """
    check_query_texts((query.text,), services.settings.api.max_query_chars, param)
    stores, scope = services.corpus.vector_stores, query.scope
    with named_field("vector_store_ids"):
        metadata = await asyncio.to_thread(stores.touch, scope.tenant, scope.vector_store_ids)
    return replace(query, store_form=to_form(metadata))


def answers_next(role: str, functions: Functions | None) -> bool:
    """Whether an answer follows a message of this role: a question, or with functions the result of a call."""
    return role == "user" or (functions is not None and role == TOOL)


def is_turn(message: ChatMessage) -> bool:
    """Whether a model reads the message: it has a text, calls, or is a result, which may be empty."""
    return message.role == TOOL or bool(message.calls or message.content.strip())


def check_question(messages: Sequence[ChatMessage], param: str) -> None:
    """Raises InvalidRequestError for a conversation without a question, which is what is searched."""
    if not any(message.role == "user" for message in messages):
        raise InvalidRequestError("the conversation has no message of the user, which is what is searched", param)


def check_grounding(grounded: Grounded, sampling: SamplingOptions) -> None:
    """Raises InvalidRequestError for sentences that are to be left out of JSON."""
    if grounded == "strict" and sampling.response_schema is not None:
        raise InvalidRequestError(
            "grounded: strict checks sentences, and JSON has none; leave one of both out", "grounded"
        )


async def final_answer(query: Query, services: Services, context: RequestContext) -> Answered:
    """Wait for the pipeline's last event."""
    async with aclosing(services.query.answer(query, context)) as events:
        async for event in events:
            if isinstance(event, Answered):
                return event
    raise AssertionError("the query pipeline ends with Answered or raises")


def usage(event: Answered) -> dict[str, Any]:
    """OpenAI's counts of tokens. No stage reports what an engine's cache had, and answers have no reasoning."""
    prompt, completion = event.num_prompt_tokens, event.num_completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {**NO_PROMPT_DETAILS, "text_tokens": prompt},
        "completion_tokens_details": {**NO_COMPLETION_DETAILS, "text_tokens": completion},
    }
