"""vLLM's own OpenAI server without its HTTP, so that vLLM's code handles tools, schemas, logprobs and adapters.

Only this module depends on the internals of vLLM's server, which change from version to version.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from copy import copy
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError
from pydantic_core import from_json

from models.errors.base import RagError
from models.errors.configuration import ModelNotFoundError
from models.errors.limits import OverloadedError
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.generation.followed_call import FollowedCall
from models.generation.gathering import gather
from models.generation.vllm_config import VllmConfig

if TYPE_CHECKING:
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
    from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
    from vllm.entrypoints.openai.models.serving import OpenAIServingModels
    from vllm.entrypoints.serve.engine.protocol import ErrorInfo
    from vllm.lora.request import LoRARequest
    from vllm.renderers.online_renderer import OnlineRenderer
    from vllm.v1.engine.async_llm import AsyncLLM

Kind = Literal["chat", "completion"]

STAGE = "generate"
# vLLM's own finish reasons as the API reports them, and those that mean failure.
OWN_REASONS = {"repetition": "stop"}
ABORTED = ("abort", "error")
_LIMITS = ("max_tokens", "max_completion_tokens")
_DONE = "[DONE]"


class OpenAIServer:
    """Answers OpenAI's request bodies with its response objects, over one engine, for a model and its adapters."""

    def __init__(self, name: str, config: VllmConfig, engine: "AsyncLLM", models: "OpenAIServingModels") -> None:
        self._name = name
        self._config = config
        self._engine = engine
        self._models = models
        self._running: set[_RequestEngine] = set()
        renderer = _renderer(config, engine)
        self._serving = {
            "chat": _chat_serving(config, engine, models, renderer),
            "completion": _completion_serving(config, engine, models, renderer),
        }

    @staticmethod
    async def start(name: str, config: VllmConfig, engine: "AsyncLLM") -> "OpenAIServer":
        """Loads the adapters. Raises ValueError for one that does not fit the model."""
        from vllm.entrypoints.openai.models.protocol import BaseModelPath, LoRAModulePath
        from vllm.entrypoints.openai.models.serving import OpenAIServingModels

        adapters = [LoRAModulePath(name=adapter, path=path) for adapter, path in config.adapters.items()]
        models = OpenAIServingModels(engine, [BaseModelPath(name, config.source)], lora_modules=adapters)
        await models.init_static_loras()
        return OpenAIServer(name, config, engine, models)

    def adapter(self, name: str | None) -> "LoRARequest | None":
        """The adapter `name`; None for the model without an adapter. Raises ModelNotFoundError."""
        if name is None or name == self._name:
            return None
        if name not in self._models.lora_requests:
            raise ModelNotFoundError("model", name, [self._name, *self._models.lora_requests])
        return self._models.lora_requests[name]

    async def answer(
        self, kind: Kind, body: dict[str, Any], engine_id: str, call: FollowedCall
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The response object, or its chunks if the body says `stream`. Closing it frees the engine at once.

        Raises InvalidRequestError, ModelNotFoundError, OverloadedError, StageUnavailableError.
        """
        self.adapter(body.get("model"))
        self._check_parser(body)
        serving = copy(self._serving[kind])
        # vLLM's parsers of tool calls expect one token at a time.
        gather_s = 0.0 if body.get("tools") else self._config.stream_gather_s
        serving.engine_client = request_engine = _RequestEngine(self._engine, gather_s, call)
        limits = {name: min(body[name], self._config.max_tokens) for name in _LIMITS if _is_count(body.get(name))}
        self._running.add(request_engine)
        try:
            async with aclosing(_responses(serving, {**body, **limits, "request_id": engine_id})) as responses:
                async for response in responses:
                    yield response
            request_engine.request_ids.clear()
        finally:
            self._running.discard(request_engine)
            # vLLM's generators abort unfinished requests only when they are garbage-collected.
            await self._abort(request_engine)

    def _check_parser(self, body: dict[str, Any]) -> None:
        """Raises InvalidRequestError for functions that the model may call in a format that nobody set."""
        if self._config.tool_parser is None and body.get("tools") and body.get("tool_choice") in (None, "auto"):
            message = (
                f"model {self._name!r} calls functions only where tool_choice forces it: set options.tool_parser of "
                "its catalog entry, such as hermes, or leave tools out"
            )
            raise InvalidRequestError(message, "tools")

    async def abort(self) -> None:
        """End running requests with StageUnavailableError."""
        for request_engine in list(self._running):
            await self._abort(request_engine)

    async def _abort(self, request_engine: "_RequestEngine") -> None:
        if request_engine.request_ids:
            await self._engine.abort(request_engine.request_ids)


class _RequestEngine:
    """The engine for one request. It records the ids of the generations that the request starts."""

    def __init__(self, engine: "AsyncLLM", gather_s: float, call: FollowedCall) -> None:
        self._engine = engine
        self._gather_s = gather_s
        self._call = call
        self.request_ids: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def generate(self, prompt: Any, sampling_params: Any, request_id: str, **options: Any) -> AsyncGenerator[Any, None]:
        self.request_ids.append(request_id)
        options["trace_headers"] = self._call.trace_headers
        outputs = self._engine.generate(prompt, sampling_params, request_id, **options)
        return gather(outputs, self._gather_s, self._call)


def _renderer(config: VllmConfig, engine: "AsyncLLM") -> "OnlineRenderer":
    from vllm.renderers.online_renderer import OnlineRenderer

    return OnlineRenderer(
        engine.model_config,
        engine.renderer,
        request_logger=None,
        chat_template=None,
        chat_template_content_format="auto",
        enable_auto_tools=config.tool_parser is not None,
        tool_parser=config.tool_parser,
        reasoning_parser=config.reasoning_parser,
        default_chat_template_kwargs=dict(config.chat_template_options),
    )


def _chat_serving(
    config: VllmConfig, engine: "AsyncLLM", models: "OpenAIServingModels", renderer: "OnlineRenderer"
) -> "OpenAIServingChat":
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat

    serving = OpenAIServingChat(
        engine,
        models,
        "assistant",
        online_renderer=renderer,
        request_logger=None,
        chat_template=None,
        chat_template_content_format="auto",
        enable_auto_tools=config.tool_parser is not None,
        tool_parser=config.tool_parser,
        reasoning_parser=config.reasoning_parser or "",
        enable_prompt_tokens_details=True,
        default_chat_template_kwargs=dict(config.chat_template_options),
    )
    serving.override_max_tokens = config.max_tokens
    return serving


def _completion_serving(
    config: VllmConfig, engine: "AsyncLLM", models: "OpenAIServingModels", renderer: "OnlineRenderer"
) -> "OpenAIServingCompletion":
    from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion

    serving = OpenAIServingCompletion(
        engine, models, online_renderer=renderer, request_logger=None, enable_prompt_tokens_details=True
    )
    serving.override_max_tokens = config.max_tokens
    return serving


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


async def _responses(
    serving: "OpenAIServingChat | OpenAIServingCompletion", body: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """vLLM's responses; its errors become ours."""
    from jinja2 import TemplateError
    from vllm.entrypoints.serve import create_error_response
    from vllm.entrypoints.serve.engine.protocol import ErrorResponse
    from vllm.exceptions import VLLMError

    try:
        response = await _create(serving, body)
    # vLLM's own server reports these to the client: it raises them for values that its validators miss.
    except (VLLMError, ValueError, TypeError, OverflowError, NotImplementedError, TemplateError) as error:
        raise _to_error(create_error_response(error).error) from error
    if isinstance(response, ErrorResponse):
        _raise_if_cancelled()
        raise _to_error(response.error)
    if not isinstance(response, AsyncGenerator):
        yield _check_response(response.model_dump(mode="json"))
        return
    async with aclosing(response):
        async for chunk in _parse_events(response):
            yield _check_response(chunk)


async def _create(serving: "OpenAIServingChat | OpenAIServingCompletion", body: dict[str, Any]) -> Any:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    try:
        if isinstance(serving, OpenAIServingChat):
            return await serving.create_chat_completion(ChatCompletionRequest.model_validate(body))
        return await serving.create_completion(CompletionRequest.model_validate(body))
    except ValidationError as error:
        first = error.errors()[0]
        param = str(first["loc"][0]) if first["loc"] else None
        raise InvalidRequestError(f"{param}: {first['msg']}" if param else first["msg"], param) from None


async def _parse_events(frames: AsyncIterator[str]) -> AsyncGenerator[dict[str, Any], None]:
    """The objects of a stream of server-sent events. Raises the error of an error event."""
    from vllm.entrypoints.serve.engine.protocol import ErrorInfo

    async for frame in frames:
        content = frame.removeprefix("data: ").rstrip()
        if content == _DONE:
            return
        chunk = from_json(content)
        if "error" in chunk:
            raise _to_error(ErrorInfo(**chunk["error"]))
        yield chunk


def _check_response(response: dict[str, Any]) -> dict[str, Any]:
    """The response with OpenAI's finish reasons. Raises StageUnavailableError if the engine aborted it."""
    for choice in response["choices"]:
        reason = choice.get("finish_reason")
        if reason in ABORTED:
            raise StageUnavailableError(STAGE)
        choice["finish_reason"] = OWN_REASONS.get(reason, reason)
    return response


def _raise_if_cancelled() -> None:
    """vLLM turns a cancellation into an error response, which hides it from asyncio."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _to_error(error: "ErrorInfo") -> RagError:
    if error.code in (500, 502, 504):
        return StageUnavailableError(STAGE)
    if error.code in (429, 503):
        return OverloadedError(STAGE)
    return InvalidRequestError(error.message, error.param)
