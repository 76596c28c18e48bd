"""Generation with vLLM: any checkpoint it serves, on a GPU or a CPU, batched by the engine and streamed."""

import asyncio
import itertools
import multiprocessing
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import fields
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from models.errors import (
    ConfigError,
    InvalidRequestError,
    ModelLoadError,
    OverloadedError,
    StageUnavailableError,
    did_you_mean,
)
from models.generation.prompt import build_messages, fit_passages
from models.types import ChatMessage, GenerationDelta, GenerationRequest, SamplingOptions

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

STAGE = "generate"

# Engine arguments that have a field of their own.
_OWN_ARGUMENTS = {"model": "source", "revision": "revision", "max_model_len": "max_model_len"}
# What vLLM's reasons to finish are at the API; any other (abort, error) is no answer.
_FINISH_REASONS = {"stop": "stop", "length": "length", "repetition": "stop"}
# The engine's processes leave on their own in 3 to 6 s on two busy cores; after this they are killed.
_STOP_S = 30.0


class VllmConfig(BaseModel):
    """An entry of kind `vllm`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, description="A local folder, or a model hub id such as owner/model.")
    revision: str | None = Field(default=None, description="Commit, tag or branch on the hub. None: its main.")
    max_model_len: int = Field(ge=64, description="Tokens of prompt and answer together; sizes the KV cache.")
    max_tokens: int = Field(default=1024, ge=1, description="Most tokens of one answer: more are asked for in vain.")
    temperature: float | None = Field(
        default=0.0, ge=0, le=2, description="Where the request says nothing. None: the checkpoint's own."
    )
    chat_template_options: dict[str, JsonValue] = Field(
        default={"enable_thinking": False},
        description="Variables of the checkpoint's chat template. Qwen3 would think aloud unless told not to.",
    )
    engine_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict, description="Further arguments of vLLM's AsyncEngineArgs, such as max_num_seqs."
    )
    cpu_kv_cache_gib: int = Field(default=4, ge=1, description="Memory of the KV cache where the engine runs on a CPU.")
    cpu_threads: int | None = Field(default=None, ge=1, description="OpenMP threads on a CPU. None: as it finds them.")

    @field_validator("engine_kwargs")
    @classmethod
    def _are_known(cls, given: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Raises ConfigError for what AsyncEngineArgs lacks. Imports vLLM, only if there is something to check."""
        known = _engine_argument_names() if given else []
        for name in given:
            if name in _OWN_ARGUMENTS:
                raise ConfigError("engine_kwargs", f"{name!r} is set by {_OWN_ARGUMENTS[name]!r}, one level up")
            if name not in known:
                hint = did_you_mean(name, known)
                raise ConfigError("engine_kwargs", f"vLLM has no engine argument {name!r}{hint}")
        return given

    @model_validator(mode="after")
    def _leaves_room_for_a_prompt(self) -> "VllmConfig":
        if self.max_tokens >= self.max_model_len:
            raise ValueError(f"max_tokens must be less than max_model_len, which is {self.max_model_len}")
        return self


def cpu_engine_environment(kv_cache_gib: int, num_threads: int | None) -> dict[str, str]:
    """What vLLM reads from the environment on a CPU; to be set before it is imported. A GPU engine ignores it.

    Threads are not bound to cores, for vLLM's own binding takes all of the machine's, whatever share is ours.
    """
    threads = {} if num_threads is None else {"OMP_NUM_THREADS": str(num_threads)}
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        **threads,
    }


class VllmModel:
    """A GenerationModel over vLLM's AsyncLLM, which runs its engine in child processes."""

    def __init__(self, name: str, config: VllmConfig) -> None:
        self.name = name
        self._config = config
        self._engine: AsyncLLM | None = None
        self._num_requests = itertools.count()
        self._unfinished: set[str] = set()  # the engine's request ids
        # One thread: a fast tokenizer cannot be shared, and vLLM would deep-copy it for each further one.
        self._tokenizing = ThreadPoolExecutor(1, "tokenizing")

    def environment(self) -> dict[str, str]:
        return cpu_engine_environment(self._config.cpu_kv_cache_gib, self._config.cpu_threads)

    async def start(self) -> None:
        """Start the engine: half a minute to minutes. Raises ModelLoadError, and leaves no process behind then."""
        try:
            engine = await asyncio.to_thread(self._start_engine)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise ModelLoadError(self.name, f"vLLM does not start: {error}") from error
        self._engine = engine
        if not engine.get_tokenizer().chat_template:
            await self.stop()
            raise ModelLoadError(self.name, "its tokenizer has no chat template; use an instruction-tuned checkpoint")

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas of the tokens that gathered since the last one was taken: a slow reader gets fewer, longer ones.

        Raises InvalidRequestError if the conversation is too long or a sampling option out of range,
        OverloadedError, StageUnavailableError.
        """
        engine = self._running_engine()
        prompt = await asyncio.get_running_loop().run_in_executor(self._tokenizing, self._prompt, request)
        # Callers may repeat an id, and the engine aborts by id.
        engine_id = f"{request.request_id}-{next(self._num_requests)}"
        self._unfinished.add(engine_id)
        try:
            async with aclosing(self._deltas(engine, prompt, request.sampling, engine_id)) as deltas:
                async for delta in deltas:
                    if delta.finish_reason is not None:
                        self._unfinished.discard(engine_id)
                    yield delta
        finally:
            if engine_id in self._unfinished:
                self._unfinished.discard(engine_id)
                await engine.abort(engine_id)

    def num_unfinished(self) -> int:
        """Requests that wait or run in the engine."""
        return self._engine.get_num_unfinished_requests() if self._engine else 0

    async def check_health(self) -> None:
        """Raises StageUnavailableError before `start` and after `stop`, vLLM's EngineDeadError if its process died."""
        await self._running_engine().check_health()

    async def stop(self) -> None:
        """End the requests that run, with StageUnavailableError, and the engine's processes. May be called twice."""
        engine, self._engine = self._engine, None
        self._tokenizing.shutdown(wait=False)
        if engine is not None:
            await engine.abort(list(self._unfinished))
            await asyncio.to_thread(engine.shutdown, _STOP_S)
            # Reaps the process if it had to be killed.
            multiprocessing.active_children()
            # vLLM closes its sockets and forgets their context, which has threads and files of its own.
            engine.engine_core.resources.ctx.destroy(linger=0)

    def _start_engine(self) -> "AsyncLLM":
        from vllm.v1.engine.async_llm import AsyncLLM

        return AsyncLLM.from_engine_args(self._engine_args())

    def _engine_args(self) -> "AsyncEngineArgs":
        """On a CPU without compilation, which takes minutes, and in bfloat16; engine_kwargs may say otherwise."""
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform

        on_cpu = {"enforce_eager": True, "dtype": "bfloat16"} if current_platform.is_cpu() else {}
        return AsyncEngineArgs(
            model=self._config.source,
            revision=self._config.revision,
            max_model_len=self._config.max_model_len,
            **{**on_cpu, **self._config.engine_kwargs},
        )

    def _running_engine(self) -> "AsyncLLM":
        if self._engine is None:
            raise StageUnavailableError(STAGE)
        return self._engine

    def _prompt(self, request: GenerationRequest) -> list[int]:
        """Token ids of the prompt, with as many passages as leave room for the answer."""
        budget = self._config.max_model_len - self._max_tokens(request.sampling)
        passages = fit_passages(request, lambda messages: len(self._token_ids(messages)), budget)
        return self._token_ids(build_messages(request, passages))

    def _token_ids(self, messages: Sequence[ChatMessage]) -> list[int]:
        return (
            self._running_engine()
            .get_tokenizer()
            .apply_chat_template(
                [{"role": message.role, "content": message.content} for message in messages],
                add_generation_prompt=True,
                return_dict=False,
                **self._config.chat_template_options,
            )
        )

    def _max_tokens(self, options: SamplingOptions) -> int:
        return min(options.max_tokens, self._config.max_tokens)

    async def _deltas(
        self, engine: "AsyncLLM", prompt: list[int], options: SamplingOptions, engine_id: str
    ) -> AsyncGenerator[GenerationDelta, None]:
        """The engine's outputs as deltas, and its errors as ours."""
        from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMServerError
        from vllm.inputs.engine import tokens_input

        num_completion_tokens = 0
        try:
            outputs = engine.generate(tokens_input(prompt), self._sampling(engine, options), engine_id)
            async with aclosing(outputs):
                async for output in outputs:
                    num_completion_tokens += len(output.outputs[0].token_ids)
                    yield _delta(output, len(prompt), num_completion_tokens)
        except VLLMClientError as error:
            raise InvalidRequestError(str(error)) from error
        except GracefulHTTPError as error:
            raise OverloadedError(STAGE) from error
        except VLLMServerError as error:
            raise StageUnavailableError(STAGE) from error

    def _sampling(self, engine: "AsyncLLM", options: SamplingOptions) -> "SamplingParams":
        """The request's options, else the config's, else those of the checkpoint's generation_config."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        temperature = self._config.temperature if options.temperature is None else options.temperature
        chosen = {"temperature": temperature, "top_p": options.top_p, "seed": options.seed}
        given = {option: value for option, value in chosen.items() if value is not None}
        return SamplingParams(
            **{**engine.model_config.get_diff_sampling_param(), **given, "max_tokens": self._max_tokens(options)},
            stop=list(options.stop),
            output_kind=RequestOutputKind.DELTA,
        )


def _delta(output: "RequestOutput", num_prompt_tokens: int, num_completion_tokens: int) -> GenerationDelta:
    text = output.outputs[0].text
    if not output.finished:
        return GenerationDelta(text)
    reason = str(output.outputs[0].finish_reason)
    if reason not in _FINISH_REASONS:
        raise StageUnavailableError(STAGE)
    return GenerationDelta(text, _FINISH_REASONS[reason], num_prompt_tokens, num_completion_tokens)


def _engine_argument_names() -> list[str]:
    """Raises ConfigError where vLLM is not installed."""
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
    except ImportError as error:
        raise ConfigError("engine_kwargs", f"vLLM cannot be imported, so nothing may stand here: {error}") from None
    return [argument.name for argument in fields(AsyncEngineArgs)]
