"""Generation by any server of OpenAI's API: vLLM, a router, OpenAI, Azure, or another ragserve."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, model_validator

from models.errors.configuration import ModelNotFoundError
from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelUnavailableError
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.functions import Functions
from models.generation.base import EngineActivity
from models.generation.chat_body import sampling_fields
from models.generation.function_calls import (
    call_text,
    chat_messages,
    deltas_of,
    function_fields,
    functions_text,
    to_chat,
)
from models.generation.gathering import gather_deltas
from models.generation.prompt import build_messages, fit_conversation, fit_drafts, fit_passages
from models.remote.client import async_client, request_headers, translated
from models.remote.config import RemoteConfig
from models.remote.origin import current_origin
from models.remote.rate_limit import RateLimit
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta, GenerationRequest

if TYPE_CHECKING:
    import openai

STAGE = "generate"
WAITING = 8  # times max_concurrency: more requests than these wait nowhere
ASCII_CHARS_PER_TOKEN = 3  # English has about four; other scripts count one token a character
MESSAGE_TOKENS = 8  # around each message, in a chat template
NOT_OPENAI = ("extra",)  # our own fields, which other servers refuse


class OpenAIGenerationConfig(RemoteConfig):
    """An entry of kind `openai`."""

    max_model_len: int = Field(
        ge=256, le=10_000_000, description="Tokens of prompt and answer together. The prompt's are estimated."
    )
    max_tokens: int = Field(
        default=1024, ge=1, description="Most tokens of one answer; a request for more is reduced to it."
    )
    max_tokens_field: str = Field(
        default="max_tokens",
        pattern="^(max_tokens|max_completion_tokens)$",
        description="The server's field for the limit. OpenAI's newer models know max_completion_tokens alone.",
    )
    temperature: float | None = Field(
        default=0.0, ge=0, le=2, description="Default for answers from documents. None: the server's default."
    )
    stream_gather_s: float = Field(
        default=0.03, ge=0, le=1, description="Least time between messages of an answer from documents, in seconds."
    )

    @model_validator(mode="after")
    def _leaves_room_for_a_prompt(self) -> "OpenAIGenerationConfig":
        if self.max_tokens >= self.max_model_len:
            raise ValueError(f"max_tokens is {self.max_tokens}; it must be below max_model_len, {self.max_model_len}")
        return self


class OpenAIModel:
    """A CompletionModel over HTTP. It holds no weights; a server that is down fails its requests, not this model."""

    config_class = OpenAIGenerationConfig
    is_remote = True

    def __init__(self, name: str, config: OpenAIGenerationConfig) -> None:
        self.name, self.runs_on = name, config.base_url
        self.served_names: tuple[str, ...] = (name,)
        self._config = config
        self._client: openai.AsyncOpenAI | None = None
        self._places = asyncio.Semaphore(config.max_concurrency)
        self._rate = RateLimit(STAGE, config.max_requests_per_minute)
        self._num_unfinished = 0

    async def start(self) -> None:
        """Open the connections' pool. Nothing is sent."""
        self._client = async_client(self.name, STAGE, self._config)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """The server's deltas. Raises InvalidRequestError, OverloadedError, StageUnavailableError."""
        marks = None if request.sampling.response_schema is None else ()
        return gather_deltas(self._deltas(request, marks), self._config.stream_gather_s)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[dict[str, Any], None]:
        """The server's objects, under this model's name."""
        if request.body.get("model") != self.name:
            raise ModelNotFoundError("model", str(request.body.get("model")), [self.name])
        body = {name: value for name, value in request.body.items() if name not in NOT_OPENAI}
        async with self._place(), aclosing(self._objects(request.kind, body)) as answers:
            async for answer in answers:
                yield {**answer, "model": self.name}

    async def count_tokens(self, request: CompletionRequest) -> int:
        """An estimate, rather too many than too few."""
        functions = Functions(tuple(request.body.get("tools") or ()))
        return estimate_tokens(chat_messages(request)) + num_tokens(functions_text(functions))

    def activity(self) -> EngineActivity:
        most = self._config.max_concurrency
        return EngineActivity(self._num_unfinished, most, WAITING * most)

    async def check_health(self) -> None:
        """Always healthy: a server that is down must not end this replica, which has other models to try."""

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _deltas(
        self, request: GenerationRequest, marks: tuple[()] | None
    ) -> AsyncGenerator[GenerationDelta, None]:
        objects, is_empty = self._objects("chat", self._body(request)), True
        with translated(self.name, STAGE):
            async with self._place(), aclosing(deltas_of(objects, marks)) as deltas:
                async for delta in deltas:
                    is_empty = is_empty and not (_checked(delta).text.strip() or delta.calls)
                    # No answer, and none was cut off: another model may have one.
                    if is_empty and delta.finish_reason == "stop":
                        raise ModelUnavailableError(STAGE, self.name, "its server sent an empty answer")
                    yield delta

    async def _objects(self, kind: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The response, or its chunks if the body says `stream`. Closing it closes the connection."""
        with translated(self.name, STAGE):
            response = await self._send(kind, body)
            if not body.get("stream"):
                yield self._checked_object(response)
                return
            try:
                async for chunk in response:
                    yield self._checked_object(chunk)
            finally:
                await response.close()

    def _checked_object(self, response: Any) -> dict[str, Any]:
        """OpenAI's object, as it may be sent on and charged. Raises TypeError or ValueError for any other answer."""
        answer = _to_dict(response)
        json.dumps(answer, ensure_ascii=False).encode()  # half of a surrogate pair is no UTF-8
        if answer.get("usage"):
            answer["usage"] = true_counts(answer["usage"], self._config.max_model_len)
        return answer

    async def _send(self, kind: str, body: dict[str, Any]) -> Any:
        if self._client is None:
            raise StageUnavailableError(STAGE)
        is_stream = bool(body.get("stream"))
        # `extra_body` carries every field as it is, also those that this version of the client does not know.
        name, fields = self._config.model, {**body, "model": self._config.model}
        extra: dict[str, Any] = {"extra_body": fields, "extra_headers": request_headers(self._config)}
        if kind == "chat":
            return await self._client.chat.completions.create(model=name, messages=[], stream=is_stream, **extra)
        return await self._client.completions.create(model=name, prompt="", stream=is_stream, **extra)

    @asynccontextmanager
    async def _place(self) -> AsyncGenerator[None, None]:
        """One of max_concurrency places, within the rate. Raises OverloadedError if too many wait."""
        if self._num_unfinished >= (1 + WAITING) * self._config.max_concurrency:
            raise OverloadedError(STAGE)
        self._num_unfinished += 1
        try:
            async with self._places:
                await asyncio.sleep(
                    self._rate.reserve(min(self._config.timeout_s, current_origin().deadline.remaining_s()))
                )
                yield
        finally:
            self._num_unfinished -= 1

    def _body(self, request: GenerationRequest) -> dict[str, Any]:
        sampling = request.sampling
        if sampling.adapter is not None:
            raise InvalidRequestError(f"{self.name} has no adapter {sampling.adapter!r}", "model")
        limit = min(sampling.max_tokens, self._config.max_tokens)
        messages = self._messages(request, self._config.max_model_len - limit)
        options = sampling_fields(sampling, self._config.temperature) | {self._config.max_tokens_field: limit}
        streamed = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        return {**streamed, **options, **function_fields(request.functions)}

    def _messages(self, request: GenerationRequest, budget: int) -> list[dict[str, Any]]:
        """The prompt. Its passages leave room for the answer."""
        num_function_tokens = num_tokens(functions_text(request.functions))
        if num_function_tokens >= budget:
            message = f"the functions take about {num_function_tokens} tokens of at most {budget}; send fewer of them"
            raise InvalidRequestError(message, "tools")
        budget -= num_function_tokens
        request = fit_drafts(fit_conversation(request, estimate_tokens, budget), estimate_tokens, budget)
        passages = fit_passages(request, estimate_tokens, budget)
        return [to_chat(message) for message in build_messages(request, passages)]


def estimate_tokens(messages: Sequence[ChatMessage]) -> int:
    """Tokens of the messages, rather too many than too few: no tokenizer of the remote model is here."""
    text = "".join(message.content + call_text(message) for message in messages)
    return num_tokens(text) + MESSAGE_TOKENS * len(messages)


def num_tokens(text: str) -> int:
    """An estimate, rather too many than too few."""
    num_ascii = len(text.encode("ascii", "ignore"))
    return num_ascii // ASCII_CHARS_PER_TOKEN + len(text) - num_ascii


def true_counts(usage: Any, most: int) -> dict[str, Any]:
    """The usage with counts that can be true, from 0 to `most`: tenants are charged for them."""
    counts = dict(usage) if isinstance(usage, dict) else {}
    for name in ("prompt_tokens", "completion_tokens"):
        count = counts.get(name)
        counts[name] = min(max(count, 0), most) if isinstance(count, int) else 0
    return {**counts, "total_tokens": counts["prompt_tokens"] + counts["completion_tokens"]}


def _checked(delta: GenerationDelta) -> GenerationDelta:
    """Raises TypeError for a text that is none: the client checks no types."""
    if not isinstance(delta.text, str):
        raise TypeError(type(delta.text).__name__)
    return delta


def _to_dict(response: Any) -> dict[str, Any]:
    """OpenAI's object as the server sent it. Raises TypeError for any other answer."""
    if not isinstance(response, BaseModel):
        raise TypeError(type(response).__name__)
    return response.model_dump(mode="json", exclude_unset=True, warnings=False)
