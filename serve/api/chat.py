"""POST /v1/chat/completions in OpenAI's shape, over the same path as /v1/query: the official client works unchanged."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from models.errors import InvalidRequestError, ModelNotFoundError, RagError
from models.generation.citations import Citation
from models.types import DEFAULT_VECTOR_STORE, ChatMessage, SamplingOptions, Scope
from serve.api.disconnect import begun, unless_disconnected
from serve.api.errors import error_body
from serve.api.filters import FilterBody, to_filter
from serve.api.models import SERVICE_MODEL
from serve.api.query import VectorStoreIds, admitted, answered, evidence
from serve.api.ranking import RankingOptions, to_options
from serve.api.services import RequestIdDep, Services, ServicesDep, TenantDep, TenantRoute
from serve.pipelines.query import Answered, Event, Query, TextGenerated
from serve.pipelines.retrieve import Mode

router = APIRouter(route_class=TenantRoute)

DEFAULT_MAX_TOKENS = 512
DEFAULT_NUM_RESULTS = 5
DEFAULT_STORES = (DEFAULT_VECTOR_STORE,)


class TextPart(BaseModel):
    """A part of a message. Only text can be asked about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A turn of the conversation; `developer` is what newer clients call `system`."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[TextPart, ...]

    def to_chat_message(self) -> ChatMessage:
        text = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        return ChatMessage("system" if self.role == "developer" else self.role, text)


class FileSearchTool(BaseModel):
    """Which vector stores to answer from, and how, in the words of OpenAI's hosted tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["file_search"]
    vector_store_ids: VectorStoreIds
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    filters: FilterBody | None = None
    ranking_options: RankingOptions | None = None


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    include_usage: bool = False
    include_obfuscation: bool = False


class ChatRequest(BaseModel):
    """OpenAI's request. What has no meaning here is refused, but for what a client may send by habit (`user`, …)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: tuple[Message, ...] = Field(min_length=1, max_length=256)
    model: str = SERVICE_MODEL
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=32_768)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=32_768)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: str | tuple[str, ...] | None = Field(default=None, max_length=4)
    seed: int | None = None
    n: Literal[1] = 1
    tools: tuple[FileSearchTool, ...] = Field(default=(), max_length=1)
    vector_store_ids: VectorStoreIds | None = None
    top_k: int | None = Field(default=None, ge=1, le=50)
    filters: FilterBody | None = None
    mode: Mode = "auto"
    ranking_options: RankingOptions | None = None
    user: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None

    def sampling(self) -> SamplingOptions:
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop or ()
        max_tokens = self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS
        return SamplingOptions(max_tokens, self.temperature, self.top_p, stop, self.seed)

    @property
    def search(self) -> FileSearchTool:
        """Where and how to search: what stands in the request itself goes before the tool's."""
        tool = self.tools[0] if self.tools else FileSearchTool(type="file_search", vector_store_ids=DEFAULT_STORES)
        return FileSearchTool(
            type="file_search",
            vector_store_ids=self.vector_store_ids or tool.vector_store_ids,
            max_num_results=self.top_k or tool.max_num_results or DEFAULT_NUM_RESULTS,
            filters=self.filters or tool.filters,
            ranking_options=self.ranking_options or tool.ranking_options,
        )


@router.post("/v1/chat/completions", response_model=None)
async def chat_completions(
    body: ChatRequest, request: Request, services: ServicesDep, tenant: TenantDep, request_id: RequestIdDep
) -> Response | dict[str, Any]:
    """Answers the last user message from the documents, with citations in `citations` and `annotations`."""
    asked = await admitted(_to_query(body, services, tenant, request_id), services)
    completion = Completion(request_id, body.model, str(request.base_url))
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        events = await begun(request, services.query.answer(asked))
        return EventSourceResponse(_chunks(events, completion, include_usage))
    return completion.whole(await unless_disconnected(request, answered(services, asked)))


def _to_query(body: ChatRequest, services: Services, tenant: str, request_id: str) -> Query:
    known = [SERVICE_MODEL, *services.catalog.names("generation")]
    if body.model not in known:
        raise ModelNotFoundError("model", body.model, known)
    messages = tuple(message.to_chat_message() for message in body.messages)
    if messages[-1].role != "user":
        raise InvalidRequestError("the last message must be the user's question", "messages")
    search = body.search
    return Query(
        request_id=request_id,
        messages=messages,
        scope=Scope(tenant, search.vector_store_ids),
        top_k=search.max_num_results or DEFAULT_NUM_RESULTS,
        sampling=body.sampling(),
        where=to_filter(search.filters),
        options=to_options(body.mode, search.ranking_options),
    )


class Completion:
    """Builds one response's objects: they share an id, a time and a model."""

    def __init__(self, request_id: str, model: str, base_url: str) -> None:
        self._id, self._model, self._created = f"chatcmpl-{request_id}", model, int(time.time())
        self._base_url = base_url.rstrip("/")

    def whole(self, event: Answered) -> dict[str, Any]:
        message = {"role": "assistant", "content": event.text, "refusal": None, "annotations": self._annotations(event)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": event.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(event), **evidence(event)}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def last_chunk(self, event: Answered) -> dict[str, Any]:
        """The chunk with the finish_reason carries what the answer rests on, as an extension."""
        delta = {"annotations": self._annotations(event)}
        return {**self.chunk(delta, event.finish_reason), **evidence(event)}

    def usage_chunk(self, event: Answered) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(event)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _annotations(self, event: Answered) -> list[dict[str, Any]]:
        """OpenAI's url_citation, one for each place in the text where a citation's marker stands."""
        by_id = {citation.id: citation for citation in event.citations}
        return [
            {"type": "url_citation", "url_citation": self._url_citation(by_id[cited], start, end)}
            for cited, start, end in marker_spans(event.text, by_id)
        ]

    def _url_citation(self, citation: Citation, start: int, end: int) -> dict[str, Any]:
        # The fragment names a span of a text/plain resource by characters: RFC 5147.
        text_url = f"{self._base_url}/v1/files/{citation.passage.file_id}/text"
        url = f"{text_url}#char={citation.start},{citation.end}"
        return {"url": url, "title": citation.passage.filename, "start_index": start, "end_index": end}


def marker_spans(text: str, ids: dict[int, Citation]) -> list[tuple[int, int, int]]:
    """(citation id, start, end) of each marker `[id]` in `text`, in order."""
    spans = []
    for cited in ids:
        marker, start = f"[{cited}]", text.find(f"[{cited}]")
        while start >= 0:
            spans.append((cited, start, start + len(marker)))
            start = text.find(marker, start + 1)
    return sorted(spans, key=lambda span: span[1])


async def _chunks(
    events: AsyncGenerator[Event, None], completion: Completion, include_usage: bool
) -> AsyncIterator[ServerSentEvent]:
    """OpenAI's chunks: the role, the text as it comes, the finish_reason, the usage if asked for, [DONE]."""
    try:
        yield _sse(completion.chunk({"role": "assistant", "content": ""}))
        async for event in events:
            if isinstance(event, TextGenerated):
                yield _sse(completion.chunk({"content": event.text}))
            elif isinstance(event, Answered):
                yield _sse(completion.last_chunk(event))
                if include_usage:
                    yield _sse(completion.usage_chunk(event))
        yield ServerSentEvent("[DONE]")
    except RagError as error:
        yield _sse(error_body(error))
    finally:
        await events.aclose()


def _sse(body: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(body, default=BaseModel.model_dump))


def _usage(event: Answered) -> dict[str, int]:
    prompt, completion = event.num_prompt_tokens, event.num_completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
