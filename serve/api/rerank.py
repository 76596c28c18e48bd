"""POST /v1/rerank, /v2/rerank and /rerank: sort texts by their relevance to a query.

Requests of Cohere and Jina have `documents`; those of Hugging Face's text-embeddings-inference (TEI) have `texts`.
Every path takes both. The field decides the shape of the response.
"""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from models.errors.requests import InvalidRequestError
from models.types.arrays import FloatArray
from models.types.request_context import RequestContext
from models.types.stage_results import Relevance
from serve.api.client_names import SERVICE_MODEL
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect
from serve.api.query_text import check_query_texts
from serve.api.served_models import check_answered, check_served
from serve.api.services import Services, ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

STAGE = "rerank"
SECOND_VERSION = "/v2/rerank"
SEARCH_UNIT_DOCUMENTS = 100  # what Cohere bills as one search
TEXT_FIELDS = ("text",)
# Programs that generate clients make one constant of both spellings, and fail.
Direction = Annotated[
    Literal["right", "Right"], WithJsonSchema({"type": "string", "description": "right, the only direction."})
]


class DocumentsRequest(BaseModel):
    """The request of Cohere and Jina. A document is a text, or an object with fields of text.

    Long documents are cut at the model's own limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    documents: list[str | dict[str, str]] = Field(min_length=1)
    model: str = SERVICE_MODEL
    top_n: int | None = Field(default=None, ge=1, description="Return only this number of results, the best first.")
    return_documents: bool | None = None
    rank_fields: list[str] | None = Field(
        default=None, min_length=1, max_length=32, description="Fields of an object to read; `text` by default."
    )
    max_tokens_per_doc: int | None = Field(default=None, ge=1, description="Accepted and ignored.")
    max_chunks_per_doc: int | None = Field(default=None, ge=1, description="Accepted and ignored.")

    def to_texts(self) -> list[str]:
        """The texts to rank; the fields of an object are joined by line breaks.

        Raises InvalidRequestError for an object without one of the fields.
        """
        fields = self.rank_fields or TEXT_FIELDS
        try:
            return [
                document if isinstance(document, str) else "\n".join(document[name] for name in fields)
                for document in self.documents
            ]
        except KeyError as error:
            message = f"a document has no field {error.args[0]!r}; add it, or name other fields in rank_fields"
            raise InvalidRequestError(message, "documents") from None

    def document(self, index: int) -> dict[str, str]:
        document = self.documents[index]
        return {"text": document} if isinstance(document, str) else document


class TextsRequest(BaseModel):
    """TEI's request. Long texts are cut on the right, at the model's own limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    texts: list[str] = Field(min_length=1)
    model: str = SERVICE_MODEL
    raw_scores: bool = Field(default=False, description="Return the model's scores instead of 0 to 1.")
    return_text: bool = False
    truncate: bool | None = Field(default=None, description="Accepted and ignored.")
    truncation_direction: Direction = "right"

    def to_texts(self) -> list[str]:
        return self.texts


def _shape_of(body: Any) -> str:
    # A tag appears in the location of a validation error, so it must not be the name of a field.
    return "TEI's" if isinstance(body, dict) and "texts" in body else "Cohere's"


RerankRequest = Annotated[
    Annotated[DocumentsRequest, Tag("Cohere's")] | Annotated[TextsRequest, Tag("TEI's")], Discriminator(_shape_of)
]


@router.post("/v1/rerank", response_model=None)
@router.post(SECOND_VERSION, response_model=None)
@router.post("/rerank", response_model=None)
async def rerank(body: RerankRequest, request: Request, services: ServicesDep, context: ContextDep) -> Response:
    """Returns the index of each text in the request, best first, with its relevance from 0 to 1."""
    texts = body.to_texts()
    check_texts(body.query, texts, "documents" if isinstance(body, DocumentsRequest) else "texts", services)
    scored = await cancel_on_disconnect(request, _score(body, texts, services, context))
    if isinstance(body, TextsRequest):
        return JSONResponse(to_ranks(body, scored))
    results = to_results(body, scored, is_second=request.url.path == SECOND_VERSION)
    return JSONResponse({"id": context.request_id, **results})


async def _score(
    body: DocumentsRequest | TextsRequest, texts: list[str], services: Services, context: RequestContext
) -> Relevance:
    context = context.at_most(services.settings.api.rerank_s)
    await check_served(body.model, STAGE, services, context)
    scored = await services.reranker.score(body.query, texts, context)
    await check_answered(body.model, scored.model, STAGE, services, context)
    return scored


def check_texts(query: str, texts: list[str], param: str, services: Services) -> None:
    """Raises InvalidRequestError for too many texts, too much text, or an invalid query."""
    limits = services.settings.api
    check_query_texts((query,), limits.max_query_chars)
    if len(texts) > limits.max_rerank_texts:
        message = f"the request has {len(texts)} {param}; send at most {limits.max_rerank_texts}"
        raise InvalidRequestError(message, param)
    num_chars = sum(map(len, texts))
    if num_chars > limits.max_texts_chars:
        message = f"the {param} have {num_chars} characters in total; send at most {limits.max_texts_chars}"
        raise InvalidRequestError(message, param)


def best_first(scores: FloatArray) -> list[int]:
    """Indices by score, highest first; equal scores stay in order."""
    return np.argsort(-scores, kind="stable").tolist()


def to_results(body: DocumentsRequest, scored: Relevance, is_second: bool) -> dict[str, Any]:
    """Cohere's response. Except in its second version, it also has `model` and `usage`, which are Jina's."""
    relevance = scored.relevance.tolist()
    results = [
        {"index": index, "relevance_score": relevance[index]} for index in best_first(scored.scores)[: body.top_n]
    ]
    if body.return_documents:
        results = [result | {"document": body.document(result["index"])} for result in results]
    num_units = -(-len(body.documents) // SEARCH_UNIT_DOCUMENTS)
    version = {"version": "2" if is_second else "1"}
    meta = {"api_version": version, "billed_units": {"search_units": num_units}}
    if is_second:
        return {"results": results, "meta": meta}
    return {"model": scored.model, "results": results, "meta": meta, "usage": {"total_tokens": scored.num_tokens}}


def to_ranks(body: TextsRequest, scored: Relevance) -> list[dict[str, Any]]:
    """TEI's response."""
    scores = (scored.scores if body.raw_scores else scored.relevance).tolist()
    ranks = [{"index": index, "score": scores[index]} for index in best_first(scored.scores)]
    return [rank | {"text": body.texts[rank["index"]]} for rank in ranks] if body.return_text else ranks
