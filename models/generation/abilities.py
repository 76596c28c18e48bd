"""What a model that quotes cannot do, by the fields of a request."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.answer_form import AUTO, AnswerForm
from models.errors.requests import InvalidRequestError
from models.functions import Functions
from models.generation.function_calls import without_calls
from models.types.generation import ChatMessage, SamplingOptions

NEEDS_LLM = "set user_config.model of the Generator to a language model, a catalog entry of kind vllm or openai"
# Of a request without documents, in OpenAI's format or with vLLM's sampling: what changes nothing in a quote, and what
# is checked below.
# fmt: off
PLAIN_FIELDS = frozenset((
    "model", "messages", "prompt", "stream", "stream_options", "n", "best_of", "echo", "suffix", "stop", "seed",
    "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "min_tokens", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "response_format", "tools",
    "tool_choice", "parallel_tool_calls", "functions", "function_call", "reasoning_effort", "verbosity", "modalities",
    "prediction", "user", "safety_identifier", "store", "metadata", "service_tier", "prompt_cache_key",
    "prompt_cache_retention", "chat_template_kwargs", "extra",
))
# fmt: on
MAX_NAME_CHARS = 100  # of a field in a message
_GREEDY: tuple[float | None, ...] = (None, 0)
_TEMPERATURES: tuple[float | None, ...] = (None, 0, 1)  # 1 is the default of OpenAI and Anthropic
_WHOLE: tuple[float | None, ...] = (None, 1)


def unsupported_options(messages: Sequence[ChatMessage], sampling: SamplingOptions) -> dict[str, str]:
    """The fields that quoting cannot follow, each with the reason. Options that change nothing are supported."""
    problems = {
        "response_format": sampling.response_schema is not None and "cannot write JSON",
        "messages": any(message.role == "system" for message in messages) and "follows no system message",
        "temperature": sampling.temperature not in _TEMPERATURES and "samples nothing, so temperature must be 0 or 1",
        "top_p": sampling.top_p not in _WHOLE and "samples nothing, so top_p must be 1",
        "presence_penalty": sampling.presence_penalty not in _GREEDY and "samples nothing, so there is no penalty",
        "frequency_penalty": sampling.frequency_penalty not in _GREEDY and "samples nothing, so there is no penalty",
        "stop": bool(sampling.stop) and "quotes whole sentences and does not end at a stop text",
    }
    return {name: problem for name, problem in problems.items() if problem}


def unsupported_functions(functions: Functions | None) -> dict[str, str]:
    """The fields of functions that quoting cannot follow."""
    if functions is None:
        return {}
    if functions.tools:
        return {"tools": "calls no functions"}
    return {"messages": "reads no results of functions after the question"}


def unsupported_form(form: AnswerForm) -> dict[str, str]:
    """The choices of an answer's form that quoting cannot follow. A length is a number of sentences, so it can."""
    problems = {
        "response_mode": form.response_mode not in (None, "compact") and "quotes in one step, so it must be compact",
        "language": form.language not in (None, AUTO) and "quotes the documents in their own language",
    }
    return {name: problem for name, problem in problems.items() if problem}


def without_unsupported(
    messages: Sequence[ChatMessage], sampling: SamplingOptions
) -> tuple[tuple[ChatMessage, ...], SamplingOptions]:
    """Both without what quoting cannot follow."""
    plain = SamplingOptions(sampling.max_tokens, seed=sampling.seed, adapter=sampling.adapter)
    return tuple(message for message in without_calls(messages) if message.role != "system"), plain


def check_plain_request(model: str, body: Mapping[str, Any]) -> None:
    """Raises InvalidRequestError for a request in OpenAI's format that needs more than quoting from its own context.

    Sampling options and system messages are accepted: they change nothing in a quote.
    """
    form = body.get("response_format") or {}
    problems = {
        "tools": bool(body.get("tools") or body.get("functions")) and "calls no tools",
        "response_format": form.get("type", "text") != "text" and "cannot write JSON",
        "n": (body.get("n") or 1) > 1 and "has only one answer",
        "logprobs": bool(body.get("logprobs")) and "has no log probabilities",
        "messages": any(map(_is_media, _blocks(body))) and "reads text alone, no images, audio or files",
    }
    if body.get("extra") == "ignore":
        return
    for name, problem in problems.items():
        if problem:
            raise refusal(model, name, str(problem))
    if unknown := sorted(name for name in body.keys() - PLAIN_FIELDS if body[name] is not None):
        shown = unknown[0][:MAX_NAME_CHARS]
        raise InvalidRequestError(f"{shown}: unknown field; leave it out, or send `extra: ignore`", shown)


def _blocks(body: Mapping[str, Any]) -> Iterator[Any]:
    """The content parts of a chat's messages."""
    for message in body.get("messages") or ():
        content = message.get("content")
        yield from content if isinstance(content, list) else ()


def _is_media(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") not in (None, "text", "refusal")


def refusal(model: str, param: str, problem: str) -> InvalidRequestError:
    part_name = "it" if param == "messages" else param
    message = f"model {model!r} {problem}; leave {part_name} out, send `extra: ignore`, or {NEEDS_LLM}"
    return InvalidRequestError(message, param)
