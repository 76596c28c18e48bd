"""Generation with vLLM: any checkpoint that it serves, on a GPU or a CPU, batched by the engine and streamed."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors.limits import OverloadedError
from models.errors.model_failures import ModelLoadError
from models.errors.requests import InvalidRequestError
from models.errors.stages import StageUnavailableError
from models.functions import Functions
from models.generation.base import EngineActivity
from models.generation.chat_body import sampling_fields
from models.generation.control_tokens import ControlTokens
from models.generation.followed_call import FollowedCall, Observe, observe_nothing
from models.generation.function_calls import chat_messages, deltas_of, function_fields, to_chat
from models.generation.gathering import gather, gather_deltas
from models.generation.prompt import build_messages, fit_conversation, fit_drafts, fit_passages
from models.generation.vllm_config import VllmConfig
from models.generation.vllm_openai import ABORTED, OWN_REASONS, STAGE, OpenAIServer
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta, GenerationRequest, SamplingOptions
from models.vllm.arguments import lora_arguments
from models.vllm.engine import on_this_platform
from models.vllm.packaged import checkpoint, gguf_file

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.lora.request import LoRARequest
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

# The engine's processes end by themselves in 3 to 6 s on two busy cores. After this time they are killed.
_STOP_S = 30.0
_WARM_UP = GenerationRequest("warm-up", (ChatMessage("user", "Ready?"),), (), SamplingOptions(max_tokens=1))


class VllmModel:
    """A CompletionModel over vLLM's AsyncLLM, which runs its engine in child processes."""

    config_class = VllmConfig

    def __init__(self, name: str, config: VllmConfig) -> None:
        self.name = name
        self.served_names: tuple[str, ...] = (name, *config.adapters)
        self._config = config
        self._engine: AsyncLLM | None = None
        self._server: OpenAIServer | None = None
        self._defaults: dict[str, Any] = {}  # sampling options of the checkpoint's generation_config
        self._controls = ControlTokens()
        self._num_requests = itertools.count()
        self._unfinished: set[str] = set()  # the engine's request ids
        self._observe: Observe = observe_nothing
        # One thread only: vLLM deep-copies the tokenizer for each further thread, as threads cannot share it.
        self._tokenizing = ThreadPoolExecutor(1, "tokenizing")

    async def start(self) -> None:
        """Start the engine: takes half a minute to minutes. On ModelLoadError no process is left."""
        try:
            self._engine = engine = await asyncio.to_thread(self._start_engine)
            if not engine.get_tokenizer().chat_template:
                raise ValueError("its tokenizer has no chat template; use an instruction-tuned checkpoint")
            self._controls = ControlTokens.of(engine.get_tokenizer())
            # vLLM reads them from the checkpoint's files, which takes 3 ms.
            self._defaults = engine.model_config.get_diff_sampling_param()
            self._server = await OpenAIServer.start(self.name, self._config, engine)
            await self._warm_up()
        except (ImportError, OSError, RuntimeError, TypeError, ValueError, StageUnavailableError) as error:
            await self.stop()
            raise ModelLoadError(self.name, f"vLLM does not start: {error}{self._hint()}") from error

    def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas with the tokens since the previous delta: see `stream_gather_s`.

        Raises InvalidRequestError if the conversation is too long or a sampling option is out of range,
        ModelNotFoundError for an unknown adapter, OverloadedError, StageUnavailableError.
        """
        deltas = self._deltas(request)
        if request.functions is not None:
            deltas = gather_deltas(self._deltas_with_functions(request), self._config.stream_gather_s)
        # In JSON, a number in brackets is an array, not a citation.
        return deltas if request.sampling.response_schema is None else _without_marks(deltas)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[dict[str, Any], None]:
        engine_id = self._engine_id(request.request_id)
        answering = self._running_server().answer(request.kind, request.body, engine_id, self._followed(request))
        async with aclosing(answering) as answers:
            async for answer in answers:
                yield answer

    async def count_tokens(self, request: CompletionRequest) -> int:
        self._running_server().adapter(request.body.get("model"))
        messages, functions = chat_messages(request), Functions(tuple(request.body.get("tools") or ()))
        counting = asyncio.get_running_loop().run_in_executor(self._tokenizing, self._token_ids, messages, functions)
        return len(await counting)

    def activity(self) -> EngineActivity:
        """The engine's activity; `max_running` is its max_num_seqs. Idle before `start` and after `stop`."""
        if self._engine is None:
            return EngineActivity()
        max_running = int(self._engine.vllm_config.scheduler_config.max_num_seqs)
        return EngineActivity(self._engine.get_num_unfinished_requests(), max_running, max_waiting=None)

    def observe_queue(self, observe: Observe) -> None:
        self._observe = observe

    async def check_health(self) -> None:
        """Raises StageUnavailableError before `start` and after `stop`, and EngineDeadError if vLLM's process died."""
        await self._running_engine().check_health()

    async def stop(self) -> None:
        """End running requests with StageUnavailableError, and the engine's processes. May be called twice."""
        engine, self._engine = self._engine, None
        server, self._server = self._server, None
        self._tokenizing.shutdown(wait=False)
        if server is not None:
            await server.abort()
        if engine is not None:
            await engine.abort(list(self._unfinished))
            await asyncio.to_thread(_shut_down, engine)
            # vLLM closes its sockets but not their context, which has threads and files of its own.
            engine.engine_core.resources.ctx.destroy(linger=0)

    def _start_engine(self) -> "AsyncLLM":
        from vllm.v1.engine.async_llm import AsyncLLM

        return AsyncLLM.from_engine_args(self._engine_args(self._location()))

    def _location(self) -> str:
        """The folder or the hub id that vLLM loads. A package's weights are converted first, if they were not yet."""
        file = gguf_file(self._config.package) if self._config.package else None
        return str(checkpoint(file, Path(self._config.converted).expanduser())) if file else self._config.source

    def _hint(self) -> str:
        """How to do without a hub, if the package is missing."""
        package = self._config.package
        if package is None or gguf_file(package) is not None:
            return ""
        return f"; the package {package}, which has the weights, is not installed: make up LLM={self.name} installs it"

    def _engine_args(self, location: str) -> "AsyncEngineArgs":
        """Arguments from the platform and the config; engine_kwargs replace them."""
        from vllm.engine.arg_utils import AsyncEngineArgs

        return AsyncEngineArgs(
            model=location,
            revision=self._config.revision,
            max_model_len=self._config.max_model_len,
            reasoning_parser=self._config.reasoning_parser or "",
            **{
                "enable_prefix_caching": True,
                "served_model_name": self.name,
                **on_this_platform(),
                **lora_arguments(self._config.adapters),
            }
            | self._config.engine_kwargs,
        )

    async def _warm_up(self) -> None:
        """Generate one token, so that the first question does not wait for imports and compilation."""
        with suppress(InvalidRequestError):  # a context too short for our instructions still allows plain chat
            async for _ in self.stream(_WARM_UP):
                pass

    def _running_engine(self) -> "AsyncLLM":
        if self._engine is None:
            raise StageUnavailableError(STAGE)
        return self._engine

    def _running_server(self) -> OpenAIServer:
        if self._server is None:
            raise StageUnavailableError(STAGE)
        return self._server

    def _engine_id(self, request_id: str) -> str:
        """A unique id: callers may repeat theirs, and the engine aborts by id."""
        return f"{request_id}-{next(self._num_requests)}"

    def _prompt(self, request: GenerationRequest) -> tuple[list[ChatMessage], list[int]]:
        """The prompt and its token ids. Its passages leave room for the answer."""
        budget = self._config.max_model_len - self._max_tokens(request.sampling)
        tokenized: dict[tuple[ChatMessage, ...], list[int]] = {}  # the messages counted last are most often the prompt

        def token_ids(messages: Sequence[ChatMessage]) -> list[int]:
            key = tuple(messages)
            if key not in tokenized:
                tokenized[key] = self._token_ids(key, request.functions)
            return tokenized[key]

        def count_tokens(messages: Sequence[ChatMessage]) -> int:
            return len(token_ids(messages))

        request = fit_drafts(fit_conversation(request, count_tokens, budget), count_tokens, budget)
        passages = fit_passages(request, count_tokens, budget)
        messages = build_messages(request, passages)
        return messages, token_ids(messages)

    def _token_ids(self, messages: Sequence[ChatMessage], functions: Functions | None) -> list[int]:
        tools = {"tools": list(functions.tools)} if functions and functions.tools else {}
        return (
            self._running_engine()
            .get_tokenizer()
            .apply_chat_template(
                [self._to_chat(message) for message in messages],
                add_generation_prompt=True,
                return_dict=False,
                **tools,
                **self._config.chat_template_options,
            )
        )

    def _to_chat(self, message: ChatMessage) -> dict[str, Any]:
        chat = to_chat(message, self._controls.escape)
        return chat | {"content": chat["content"] or ""}  # many chat templates write None as a word

    def _max_tokens(self, options: SamplingOptions) -> int:
        return min(options.max_tokens, self._config.max_tokens)

    async def _deltas(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        engine, adapter = self._running_engine(), self._running_server().adapter(request.sampling.adapter)
        _, prompt = await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._prompt, request)
        engine_id, num_completion_tokens = self._engine_id(request.request_id), 0
        self._unfinished.add(engine_id)
        try:
            with _translate_errors():
                outputs = self._generate(engine, prompt, request, engine_id, adapter)
                async with aclosing(outputs):
                    async for output in outputs:
                        num_completion_tokens += len(output.outputs[0].token_ids)
                        if output.finished:
                            self._unfinished.discard(engine_id)
                        yield _delta(output, len(prompt), num_completion_tokens)
        finally:
            if engine_id in self._unfinished:
                self._unfinished.discard(engine_id)
                await engine.abort(engine_id)

    async def _deltas_with_functions(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """The deltas of vLLM's own server, which parses the calls that this model writes."""
        server, sampling = self._running_server(), request.sampling
        messages, _ = await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._prompt, request)
        body = {
            "model": sampling.adapter or self.name,
            "messages": [self._to_chat(message) for message in messages],
            "max_tokens": self._max_tokens(sampling),
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling_fields(sampling, self._config.temperature),
            **function_fields(request.functions),
        }
        chunks = server.answer("chat", body, self._engine_id(request.request_id), self._followed(request))
        async with aclosing(deltas_of(chunks)) as deltas:
            async for delta in deltas:
                yield delta

    def _generate(
        self,
        engine: "AsyncLLM",
        prompt: list[int],
        request: GenerationRequest,
        engine_id: str,
        adapter: "LoRARequest | None",
    ) -> AsyncGenerator["RequestOutput", None]:
        from vllm.inputs.engine import tokens_input

        sampling, call = self._sampling(request.sampling), self._followed(request)
        outputs = engine.generate(
            tokens_input(prompt), sampling, engine_id, lora_request=adapter, trace_headers=call.trace_headers
        )
        return gather(outputs, self._config.stream_gather_s, call)

    def _followed(self, request: GenerationRequest | CompletionRequest) -> FollowedCall:
        return FollowedCall.of(request, self._observe, self._config.traces_endpoint is not None)

    def _sampling(self, options: SamplingOptions) -> "SamplingParams":
        """Options from the request, then the config, then the checkpoint's generation_config."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        temperature = self._config.temperature if options.temperature is None else options.temperature
        chosen = {
            "temperature": temperature,
            "top_p": options.top_p,
            "seed": options.seed,
            "presence_penalty": options.presence_penalty,
            "frequency_penalty": options.frequency_penalty,
        }
        explicit = {option: value for option, value in chosen.items() if value is not None}
        schema = options.response_schema
        return SamplingParams(
            **{**self._defaults, **explicit, "max_tokens": self._max_tokens(options)},
            stop=list(options.stop),
            structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
            output_kind=RequestOutputKind.DELTA,
        )


def _shut_down(engine: "AsyncLLM") -> None:
    """Returns when the engine's processes have ended and their memory is free."""
    manager = engine.engine_core.resources.engine_manager
    engine.shutdown(_STOP_S)
    for process in getattr(manager, "processes", ()):
        process.join()  # vLLM does not wait for a process that it killed


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translates vLLM's errors to ours."""
    from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMServerError

    try:
        yield
    except VLLMClientError as error:
        raise InvalidRequestError(str(error)) from error
    except GracefulHTTPError as error:
        raise OverloadedError(STAGE) from error
    except VLLMServerError as error:
        raise StageUnavailableError(STAGE) from error


def _delta(output: "RequestOutput", num_prompt_tokens: int, num_completion_tokens: int) -> GenerationDelta:
    text = output.outputs[0].text
    if not output.finished:
        return GenerationDelta(text)
    reason = str(output.outputs[0].finish_reason)
    if reason in ABORTED:
        raise StageUnavailableError(STAGE)
    return GenerationDelta(text, OWN_REASONS.get(reason, reason), num_prompt_tokens, num_completion_tokens)


async def _without_marks(deltas: AsyncGenerator[GenerationDelta, None]) -> AsyncGenerator[GenerationDelta, None]:
    """The deltas as text that has no markers."""
    async with aclosing(deltas):
        async for delta in deltas:
            yield replace(delta, marks=())
