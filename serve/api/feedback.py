"""/v1/feedback: what a user says of an answer, by the id of its request. Our own; OpenAI's API has no such list."""

import asyncio
import re
from typing import Annotated, Any, get_args

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from deployments.telemetry.metrics.quality import FEEDBACK
from models.corpus.feedback import Feedback, Judgement, Rating
from serve.api.ids import FileId, named_field
from serve.api.lists import PageDep, to_list
from serve.api.services import ServicesDep, TenantDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

MAX_TEXT_CHARS, MAX_FILES = 8_000, 64
# The ids of answers in other shapes have the request's id in them.
ANSWER_ID = re.compile(r"^(?:chatcmpl-|cmpl-|msg_)(?=.)")
REQUEST_ID = r"^[A-Za-z0-9_.:-]{1,128}$"  # as deployments/cluster/request_ids.py accepts it

RESPONSE_ID = "resp_"

for _rating in get_args(Rating):
    FEEDBACK.labels(_rating)  # known from the start, so that a first judgement is an increase


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "the text has NUL (U+0000); leave it out")
    return text


FeedbackText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS), AfterValidator(_without_nul)]


def to_request_id(answer_id: str) -> str:
    """The request's id of an answer's id: that of `chatcmpl-req_1` is `req_1`."""
    return ANSWER_ID.sub("", answer_id, count=1)


class FeedbackRequest(BaseModel):
    """What a user says of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, StringConstraints(pattern=REQUEST_ID), AfterValidator(to_request_id)] = Field(
        description="The request's id: the `id` of the answer, or its header x-request-id."
    )
    rating: Rating
    comment: FeedbackText | None = Field(default=None, description="For people.")
    query: FeedbackText | None = Field(
        default=None, description="The question; without it, an export takes it from the question log."
    )
    answer: FeedbackText | None = Field(default=None, description="What the answer should have been.")
    file_ids: Annotated[tuple[FileId, ...], Field(max_length=MAX_FILES)] = Field(
        default=(), description="The files that answer the question."
    )


@router.post("/v1/feedback")
async def give_feedback(body: FeedbackRequest, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Stores what a user says of an answer. A second one for the same request replaces the first."""
    if body.id.startswith(RESPONSE_ID):
        with named_field("id"):
            await asyncio.to_thread(services.corpus.responses.get, tenant, body.id)
    judgement = Judgement(body.rating, body.comment, body.query, body.answer, tuple(dict.fromkeys(body.file_ids)))
    stored = await asyncio.to_thread(services.corpus.feedback.put, tenant, body.id, judgement)
    FEEDBACK.labels(body.rating).inc()
    return to_feedback(stored)


@router.get("/v1/feedback")
async def list_feedback(services: ServicesDep, tenant: TenantDep, page: PageDep) -> dict[str, Any]:
    """Lists the feedback, newest first."""
    return to_list(await asyncio.to_thread(services.corpus.feedback.page, tenant, page), to_feedback)


@router.get("/v1/feedback/{feedback_id}")
async def get_feedback(feedback_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Returns the feedback on a request's answer."""
    get = services.corpus.feedback.get
    return to_feedback(await asyncio.to_thread(get, tenant, to_request_id(feedback_id)))


@router.delete("/v1/feedback/{feedback_id}")
async def delete_feedback(feedback_id: str, services: ServicesDep, tenant: TenantDep) -> dict[str, Any]:
    """Deletes the feedback on a request's answer."""
    request_id = to_request_id(feedback_id)
    await asyncio.to_thread(services.corpus.feedback.delete, tenant, request_id)
    return {"id": request_id, "object": "feedback.deleted", "deleted": True}


def to_feedback(feedback: Feedback) -> dict[str, Any]:
    judgement = feedback.judgement
    return {
        "id": feedback.request_id,
        "object": "feedback",
        "created_at": feedback.created_at,
        "rating": judgement.rating,
        "comment": judgement.comment,
        "query": judgement.query,
        "answer": judgement.answer,
        "file_ids": list(judgement.file_ids),
    }
