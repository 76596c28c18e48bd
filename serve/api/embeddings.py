"""POST /v1/embeddings in OpenAI's shape: unit vectors of texts, or of their tokens."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from models.errors.configuration import ModelNotFoundError
from models.errors.requests import InvalidRequestError
from models.tokens.encoding import TextInput
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings
from serve.api.client_names import SERVICE_MODEL
from serve.api.context import ContextDep
from serve.api.disconnect import cancel_on_disconnect
from serve.api.served_models import check_served
from serve.api.services import Services, ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

STAGE = "embed"
MAX_INPUTS = 2048  # OpenAI's
MAX_TOKEN_ID = 2**31 - 1
CHARS_PER_TOKEN = 4  # roughly, in English: https://help.openai.com/en/articles/4936856


def _to_inputs(value: object) -> list[TextInput]:
    """Check the types by hand: a union would try 2,048 inputs against four types in turn."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        kinds = set(map(type, value))
        if kinds == {int}:
            return [value]
        if len(value) > MAX_INPUTS:
            return value  # check_inputs refuses it, with the number
        if kinds <= {str} or (kinds == {list} and all(set(map(type, tokens)) <= {int} for tokens in value)):
            return value
    raise PydanticCustomError(
        "input_type", "send a string, a list of strings, a list of token ids, or a list of such lists"
    )


Shape = str | list[str] | list[int] | list[list[int]]
Inputs = Annotated[Sequence[TextInput], PlainValidator(_to_inputs, json_schema_input_type=Shape)]


class EmbeddingsRequest(BaseModel):
    """OpenAI's request. `input_type` is our own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Inputs
    model: str = SERVICE_MODEL
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64 encodes little-endian float32."
    )
    dimensions: int | None = Field(
        default=None, ge=1, le=65_536, description="Cut vectors to this length. The model must be trained for it."
    )
    input_type: Literal["query", "document"] = Field(
        default="document", description="Some models embed queries and documents differently."
    )
    tokenizer: str | None = Field(
        default=None,
        description="With token ids: the served model whose tokenizer made them. Ids of another tokenizer would be "
        "embedded as other words.",
    )
    user: str | None = Field(default=None, description="Accepted for OpenAI's clients; ignored.")


@router.post("/v1/embeddings", response_model=None)
async def create_embeddings(
    body: EmbeddingsRequest, request: Request, services: ServicesDep, context: ContextDep
) -> Response:
    """Returns a vector for each input, in order."""
    check_inputs(body.input, services.settings.api.max_texts_chars)
    embeddings = await cancel_on_disconnect(request, _embed(body, services, context))
    return Response(to_json(embeddings, body.encoding_format), media_type="application/json")


async def _embed(body: EmbeddingsRequest, services: Services, context: RequestContext) -> Embeddings:
    context = context.at_most(services.settings.api.embed_s)
    await check_served(body.model, STAGE, services, context)
    if not all(isinstance(text, str) for text in body.input):
        await _check_tokenizer(body.tokenizer, services, context)
    as_queries = body.input_type == "query"
    try:
        embeddings = await services.embedder.embed_inputs(body.input, as_queries, body.dimensions, context)
    except InvalidRequestError as error:
        # The model refuses a token id without the name of the request's field.
        raise InvalidRequestError(error.message, error.param or "input") from None
    if body.model not in (SERVICE_MODEL, embeddings.model):
        # The stage changed its model after the check. Never return vectors of a model that the client did not name.
        services.aliases[STAGE] = embeddings.model
        raise ModelNotFoundError("model", body.model, [SERVICE_MODEL, embeddings.model])
    return embeddings


async def _check_tokenizer(name: str | None, services: Services, context: RequestContext) -> None:
    """Raises InvalidRequestError unless `name` is the embedding model that serves, or its tokenizer is the client's."""
    if name is not None and name == services.aliases.get(STAGE):
        return
    alias = services.aliases[STAGE] = (await services.stages[STAGE].status(context)).model
    if name == alias or services.catalog.takes_token_ids(alias):
        return
    if name is not None:
        raise InvalidRequestError(f"no tokenizer named {name!r} serves; it is {alias}", "tokenizer")
    message = f"token ids mean other words to {alias!r} than to the tokenizer of your client; send texts"
    langchain = "in LangChain, set OpenAIEmbeddings(check_embedding_ctx_length=False)"
    raise InvalidRequestError(f"{message} ({langchain}), or tokenizer: {alias} if its tokenizer made them", "input")


def check_inputs(inputs: Sequence[TextInput], max_chars: int) -> None:
    """Raises InvalidRequestError for too many inputs, an empty one, an impossible token id, or too much text."""
    if not inputs or len(inputs) > MAX_INPUTS:
        raise InvalidRequestError(f"the request has {len(inputs)} inputs; send 1 to {MAX_INPUTS}", "input")
    for number, text in enumerate(inputs):
        if not text:
            raise InvalidRequestError(f"input {number} is empty", "input")
        if not isinstance(text, str) and (min(text) < 0 or max(text) > MAX_TOKEN_ID):
            message = f"input {number} has a token id outside 0 to {MAX_TOKEN_ID}; use the model's own tokenizer"
            raise InvalidRequestError(message, "input")
    num_chars = sum(len(text) if isinstance(text, str) else CHARS_PER_TOKEN * len(text) for text in inputs)
    if num_chars > max_chars:
        message = f"the inputs have {num_chars} characters in total, counting {CHARS_PER_TOKEN} for a token id"
        raise InvalidRequestError(f"{message}; send at most {max_chars}", "input")


def to_json(embeddings: Embeddings, encoding_format: Literal["float", "base64"]) -> bytes:
    """OpenAI's response. Floats are written with enough digits to restore the same float32."""
    vectors = np.ascontiguousarray(embeddings.vectors, "<f4")
    rows: list[Any] = list(vectors)
    if encoding_format == "base64":
        rows = [base64.b64encode(row.data).decode() for row in rows]
    usage = {"prompt_tokens": embeddings.num_tokens, "total_tokens": embeddings.num_tokens}
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    body = {"object": "list", "data": data, "model": embeddings.model, "usage": usage}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
