"""POST /v1/embeddings in OpenAI's shape: texts, or their tokens, into unit vectors."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from models.encoding import TextInput
from models.errors import InvalidRequestError, ModelNotFoundError
from models.types import Deadline, Embeddings
from serve.api.disconnect import unless_disconnected
from serve.api.models import SERVICE_MODEL, check_served
from serve.api.services import Services, ServicesDep, TenantRoute

router = APIRouter(route_class=TenantRoute)

STAGE = "embed"
MAX_INPUTS = 2048  # OpenAI's
MAX_TOKEN_ID = 2**31 - 1
CHARS_PER_TOKEN = 4  # about, in English: https://help.openai.com/en/articles/4936856


def _to_inputs(value: object) -> list[TextInput]:
    """The inputs that `value` stands for. By hand, as a union would try 2,048 items against four types in turn."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        kinds = set(map(type, value))
        if kinds == {int}:
            return [value]
        if kinds <= {str} or (kinds == {list} and all(set(map(type, tokens)) <= {int} for tokens in value)):
            return value
    raise PydanticCustomError(
        "input_type", "it is a string, a list of strings, the token ids of one, or a list of such"
    )


Shape = str | list[str] | list[int] | list[list[int]]
Inputs = Annotated[Sequence[TextInput], PlainValidator(_to_inputs, json_schema_input_type=Shape)]


class EmbeddingsRequest(BaseModel):
    """OpenAI's request. Ours: `input_type`, as models may embed what is searched for and what is found differently."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Inputs
    model: str = SERVICE_MODEL
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1, le=65_536)
    input_type: Literal["query", "document"] = "document"
    user: str | None = None


@router.post("/v1/embeddings", response_model=None)
async def create_embeddings(body: EmbeddingsRequest, request: Request, services: ServicesDep) -> Response:
    """A vector an input, in order."""
    check_inputs(body.input, services.settings.api.max_texts_chars)
    embeddings = await unless_disconnected(request, _embedded(body, services))
    return Response(to_json(embeddings, body.encoding_format), media_type="application/json")


async def _embedded(body: EmbeddingsRequest, services: Services) -> Embeddings:
    deadline = Deadline.after(services.settings.api.embed_s)
    await check_served(body.model, STAGE, services, deadline)
    as_queries = body.input_type == "query"
    try:
        found = await services.embedder.embed_inputs(body.input, as_queries, body.dimensions, deadline)
    except InvalidRequestError as error:
        # A model that does not know a token does not know the field either that it came in.
        raise InvalidRequestError(error.message, error.param or "input") from None
    if body.model not in (SERVICE_MODEL, found.model):
        # Swapped since it was checked: vectors of another model must not pass for those of the one that was named.
        services.aliases[STAGE] = found.model
        raise ModelNotFoundError("model", body.model, [SERVICE_MODEL, found.model])
    return found


def check_inputs(inputs: Sequence[TextInput], max_chars: int) -> None:
    """Raises InvalidRequestError for too many, too long and empty ones."""
    if not inputs or len(inputs) > MAX_INPUTS:
        raise InvalidRequestError(f"there are {len(inputs)} inputs; 1 to {MAX_INPUTS} are embedded at once", "input")
    for number, one in enumerate(inputs):
        if not one:
            raise InvalidRequestError(f"input {number} is empty", "input")
        if not isinstance(one, str) and (min(one) < 0 or max(one) > MAX_TOKEN_ID):
            raise InvalidRequestError(f"input {number} has token ids that no model has", "input")
    num_chars = sum(len(one) if isinstance(one, str) else CHARS_PER_TOKEN * len(one) for one in inputs)
    if num_chars > max_chars:
        problem = f"the inputs have {num_chars} characters together, a token counting as {CHARS_PER_TOKEN}"
        raise InvalidRequestError(f"{problem}; at most {max_chars} are read", "input")


def to_json(embeddings: Embeddings, encoding_format: Literal["float", "base64"]) -> bytes:
    """OpenAI's response. Floats have the digits that give the same float32 again; base64 is little-endian float32."""
    vectors = np.ascontiguousarray(embeddings.vectors, "<f4")
    rows: list[Any] = list(vectors)
    if encoding_format == "base64":
        rows = [base64.b64encode(row.data).decode() for row in rows]
    usage = {"prompt_tokens": embeddings.num_tokens, "total_tokens": embeddings.num_tokens}
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    body = {"object": "list", "data": data, "model": embeddings.model, "usage": usage}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
