"""POST /v1/rerank, /v2/rerank and /rerank: texts in the order of their relevance to a query.

Cohere's and Jina's requests have `documents`, those of Hugging Face's text-embeddings-inference (TEI) `texts`. Every
path takes both, and answers in the shape that belongs to the field.
"""

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from models.errors import InvalidRequestError
from models.types import Deadline, FloatArray, Relevance
from serve.api.disconnect import unless_disconnected
from serve.api.models import SERVICE_MODEL, check_answered, check_served
from serve.api.search import check_queries
from serve.api.services import RequestIdDep, Services, ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

STAGE = "rerank"
SECOND_VERSION = "/v2/rerank"
SEARCH_UNIT_DOCUMENTS = 100  # what Cohere bills as one search
TEXT_FIELDS = ("text",)


class DocumentsRequest(BaseModel):
    """Cohere's and Jina's. Of a document that is an object, `rank_fields` are read, each on a line.

    A document is cut where the model's own limit is, whatever `max_tokens_per_doc` and `max_chunks_per_doc` say.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    documents: list[str | dict[str, str]] = Field(min_length=1)
    model: str = SERVICE_MODEL
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool | None = None
    rank_fields: list[str] | None = Field(default=None, min_length=1, max_length=32)
    max_tokens_per_doc: int | None = Field(default=None, ge=1)
    max_chunks_per_doc: int | None = Field(default=None, ge=1)

    def to_texts(self) -> list[str]:
        """Raises InvalidRequestError for an object that lacks one of the fields."""
        fields = self.rank_fields or TEXT_FIELDS
        try:
            return [one if isinstance(one, str) else "\n".join(one[name] for name in fields) for one in self.documents]
        except KeyError as error:
            raise InvalidRequestError(f"a document has no field {error.args[0]!r}", "documents") from None

    def document(self, index: int) -> dict[str, str]:
        one = self.documents[index]
        return {"text": one} if isinstance(one, str) else one


class TextsRequest(BaseModel):
    """TEI's. A text is cut at the model's limit, on the right, whatever `truncate` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    texts: list[str] = Field(min_length=1)
    model: str = SERVICE_MODEL
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = None
    truncation_direction: Literal["right", "Right"] = "right"

    def to_texts(self) -> list[str]:
        return self.texts


def _shape_of(body: Any) -> str:
    # The tags stand in the places of errors, where no name of a field must be.
    return "TEI's" if isinstance(body, dict) and "texts" in body else "Cohere's"


RerankRequest = Annotated[
    Annotated[DocumentsRequest, Tag("Cohere's")] | Annotated[TextsRequest, Tag("TEI's")], Discriminator(_shape_of)
]


@router.post("/v1/rerank", response_model=None)
@router.post(SECOND_VERSION, response_model=None)
@router.post("/rerank", response_model=None)
async def rerank(body: RerankRequest, request: Request, services: ServicesDep, request_id: RequestIdDep) -> Response:
    """The texts' places in the request, best first, each with its relevance from 0 to 1."""
    texts = body.to_texts()
    check_texts(body.query, texts, "documents" if isinstance(body, DocumentsRequest) else "texts", services)
    found = await unless_disconnected(request, _scored(body, texts, services))
    if isinstance(body, TextsRequest):
        return JSONResponse(to_ranks(body, found))
    results = to_results(body, found, is_second=request.url.path == SECOND_VERSION)
    return JSONResponse({"id": request_id, **results})


async def _scored(body: DocumentsRequest | TextsRequest, texts: list[str], services: Services) -> Relevance:
    deadline = Deadline.after(services.settings.api.rerank_s)
    await check_served(body.model, STAGE, services, deadline)
    found = await services.reranker.score(body.query, texts, deadline)
    await check_answered(body.model, found.model, STAGE, services, deadline)
    return found


def check_texts(query: str, texts: list[str], param: str, services: Services) -> None:
    """Raises InvalidRequestError for what is too many, too long, or no query."""
    limits = services.settings.api
    check_queries((query,), services)
    if len(texts) > limits.max_rerank_texts:
        problem = f"there are {len(texts)} {param}; at most {limits.max_rerank_texts} are ranked at once"
        raise InvalidRequestError(problem, param)
    num_chars = sum(map(len, texts))
    if num_chars > limits.max_texts_chars:
        problem = f"the {param} have {num_chars} characters together; at most {limits.max_texts_chars} are read"
        raise InvalidRequestError(problem, param)


def best_first(scores: FloatArray) -> list[int]:
    """Their indices, highest first; equals stay in order."""
    return np.argsort(-scores, kind="stable").tolist()


def to_results(body: DocumentsRequest, found: Relevance, is_second: bool) -> dict[str, Any]:
    """Cohere's response; `model` and `usage`, which its second version has not, are Jina's."""
    relevance = found.relevance.tolist()
    results = [
        {"index": index, "relevance_score": relevance[index]} for index in best_first(found.scores)[: body.top_n]
    ]
    if body.return_documents:
        results = [result | {"document": body.document(result["index"])} for result in results]
    num_units = -(-len(body.documents) // SEARCH_UNIT_DOCUMENTS)
    version = {"version": "2" if is_second else "1"}
    meta = {"api_version": version, "billed_units": {"search_units": num_units}}
    if is_second:
        return {"results": results, "meta": meta}
    return {"model": found.model, "results": results, "meta": meta, "usage": {"total_tokens": found.num_tokens}}


def to_ranks(body: TextsRequest, found: Relevance) -> list[dict[str, Any]]:
    """TEI's response."""
    shown = (found.scores if body.raw_scores else found.relevance).tolist()
    ranks = [{"index": index, "score": shown[index]} for index in best_first(found.scores)]
    return [rank | {"text": body.texts[rank["index"]]} for rank in ranks] if body.return_text else ranks
