"""What vLLM takes in its configuration, asked of vLLM itself: names of engine arguments, their values, its parsers."""

import json
from collections.abc import Iterator
from dataclasses import Field as DataclassField
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, JsonValue, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from models.errors import ConfigError, did_you_mean

DEFAULT_LORA_RANK = 16  # vLLM's

# Engine arguments that have a field of their own.
_OWN_FIELDS = {
    "model": "source",
    "revision": "revision",
    "max_model_len": "max_model_len",
    "enable_lora": "adapters",
    "reasoning_parser": "reasoning_parser",
}
# Their fields bear the names of engine arguments, and bound something else: a draft model, and whole configs.
_OTHER_CONFIGS = ("SpeculativeConfig", "VllmConfig")


def check_engine_arguments(given: dict[str, JsonValue]) -> None:
    """Raises ConfigError for a name that AsyncEngineArgs lacks, and for a value that it would not take.

    Imports vLLM, only if there is something to check. What depends on the checkpoint shows when the engine starts.
    """
    for name, value in given.items():
        if name in _OWN_FIELDS:
            raise ConfigError("engine_kwargs", f"{name!r} is set by {_OWN_FIELDS[name]!r}, one level up")
        known = _engine_arguments()
        if name not in known:
            raise ConfigError("engine_kwargs", f"vLLM has no engine argument {name!r}{did_you_mean(name, known)}")
        for problem in _problems(known[name], value):
            raise ConfigError(f"engine_kwargs.{name}", f"{json.dumps(value)} is not possible: {problem}")


def check_parsers(tool_parser: str | None, reasoning_parser: str | None) -> None:
    """Raises ConfigError for a parser that vLLM does not have. Imports vLLM, only if one is named."""
    if tool_parser is None and reasoning_parser is None:
        return
    try:
        from vllm.reasoning import ReasoningParserManager
        from vllm.tool_parsers import ToolParserManager
    except ImportError as error:
        raise _not_installed("tool_parser, reasoning_parser", error) from None
    if tool_parser is not None:
        _check_name("tool_parser", tool_parser, ToolParserManager.list_registered())
    if reasoning_parser is not None:
        _check_name("reasoning_parser", reasoning_parser, ReasoningParserManager.list_registered())


def lora_arguments(adapters: dict[str, str]) -> dict[str, Any]:
    """Engine arguments that hold all the adapters at once: their number, and the rank of the largest local one."""
    if not adapters:
        return {}
    from vllm.config.lora import MaxLoRARanks

    files = [Path(path).expanduser() / "adapter_config.json" for path in adapters.values()]
    ranks = [json.loads(file.read_text()).get("r", 1) for file in files if file.is_file()]
    possible = [rank for rank in get_args(MaxLoRARanks) if rank >= max(ranks, default=DEFAULT_LORA_RANK)]
    return {"enable_lora": True, "max_loras": len(adapters), **({"max_lora_rank": possible[0]} if possible else {})}


def _check_name(where: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise ConfigError(where, f"vLLM has no {where.replace('_', ' ')} {name!r}{did_you_mean(name, known)}")


@lru_cache(maxsize=1)
def _engine_arguments() -> dict[str, DataclassField[Any]]:
    """Raises ConfigError where vLLM is not installed."""
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
    except ImportError as error:
        raise _not_installed("engine_kwargs", error) from None
    return {argument.name: argument for argument in fields(AsyncEngineArgs)}


def _not_installed(where: str, error: ImportError) -> ConfigError:
    return ConfigError(where, f"vLLM cannot be imported, so nothing may stand here: {error}")


def _problems(argument: DataclassField[Any], value: JsonValue) -> Iterator[str]:
    """What is wrong with the value: its type, then its bounds, then that vLLM has nothing of that name."""
    config_fields = _config_fields(argument.name)
    types = [argument.type] if not isinstance(argument.type, str) else [field.annotation for field in config_fields]
    if value is not None:
        types += [Annotated[field.annotation, *field.metadata] for field in config_fields if field.metadata]
    for expected in types:
        yield from _mismatch(expected, value)
    if isinstance(value, str) and "." not in value:  # with a dot it names a class
        yield from _unknown_name(argument.name, value)


def _mismatch(expected: Any, value: JsonValue) -> Iterator[str]:
    # JSON's strictness: "8" is no number, but a list may be a tuple and a string a member of an enum.
    try:
        _adapter(expected).validate_json(json.dumps(value), strict=not isinstance(value, dict))
    except ValidationError as error:
        messages = dict.fromkeys(_said(problem["loc"], problem["msg"], value) for problem in error.errors())
        yield ", or ".join(messages)


def _said(location: tuple[int | str, ...], message: str, value: JsonValue) -> str:
    """The message, after the key inside a dictionary that it is about."""
    keys = [str(part) for part in location if isinstance(value, dict) and part in value]
    return ": ".join([*keys, message[0].lower() + message[1:]])


def _adapter(expected: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(expected)
    except PydanticSchemaGenerationError:  # a class of torch's, among what else it may be
        return TypeAdapter(expected, config=ConfigDict(arbitrary_types_allowed=True))


def _config_fields(name: str) -> list[FieldInfo]:
    """The fields of that name in vLLM's own configs, which know its bounds."""
    from vllm import config

    kinds = [kind for kind in vars(config).values() if isinstance(kind, type) and kind.__name__ not in _OTHER_CONFIGS]
    fields_of = [getattr(kind, "__pydantic_fields__", {}) for kind in kinds]
    return [known[name] for known in fields_of if name in known]


def _unknown_name(argument: str, name: str) -> Iterator[str]:
    """For arguments that vLLM declares as any string, and looks up late."""
    from vllm.config.model import TokenizerMode
    from vllm.config.parallel import DistributedExecutorBackend
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
    from vllm.model_executor.model_loader import LoadFormats

    known = {
        "quantization": QUANTIZATION_METHODS,
        "load_format": get_args(LoadFormats),
        "tokenizer_mode": get_args(TokenizerMode),
        "distributed_executor_backend": get_args(DistributedExecutorBackend),
    }
    if argument in known and name not in known[argument]:
        yield f"it should be one of {', '.join(known[argument])}"
