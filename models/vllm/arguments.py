"""Checks configuration against the installed vLLM: names and values of engine arguments, and names of parsers."""

import json
from collections.abc import Iterator
from dataclasses import Field as DataclassField
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, JsonValue, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from models.errors.configuration import ConfigError
from models.errors.suggestions import did_you_mean

DEFAULT_LORA_RANK = 16  # vLLM's

# Engine arguments that are set by a field of the catalog entry.
_OWN_FIELDS = {
    "model": "source",
    "revision": "revision",
    "max_model_len": "max_model_len",
    "enable_lora": "adapters",
    "reasoning_parser": "reasoning_parser",
}
# Their fields share names with engine arguments but mean something else: a draft model, and whole configs.
_OTHER_CONFIGS = ("SpeculativeConfig", "VllmConfig")


def check_engine_arguments(arguments: dict[str, JsonValue]) -> None:
    """Raises ConfigError for a name that AsyncEngineArgs lacks or a value that it refuses.

    Imports vLLM if there are arguments. Problems that depend on the checkpoint appear when the engine starts.
    """
    for name, value in arguments.items():
        if name in _OWN_FIELDS:
            raise ConfigError("engine_kwargs", f"remove {name!r}; set the option {_OWN_FIELDS[name]!r} instead")
        fields_by_name = _engine_arguments()
        if name not in fields_by_name:
            hint = did_you_mean(name, fields_by_name)
            raise ConfigError("engine_kwargs", f"vLLM has no engine argument {name!r}{hint}")
        for problem in _problems(fields_by_name[name], value):
            raise ConfigError(f"engine_kwargs.{name}", f"{json.dumps(value)} is not possible: {problem}")


def check_parsers(tool_parser: str | None, reasoning_parser: str | None) -> None:
    """Raises ConfigError for a parser that vLLM does not have. Imports vLLM if a parser is named."""
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
    """Engine arguments to load all adapters at once: their number and the largest rank of the local ones."""
    if not adapters:
        return {}
    from vllm.config.lora import MaxLoRARanks

    files = [Path(path).expanduser() / "adapter_config.json" for path in adapters.values()]
    ranks = [json.loads(file.read_text()).get("r", 1) for file in files if file.is_file()]
    possible = [rank for rank in get_args(MaxLoRARanks) if rank >= max(ranks, default=DEFAULT_LORA_RANK)]
    return {"enable_lora": True, "max_loras": len(adapters), **({"max_lora_rank": possible[0]} if possible else {})}


def _check_name(where: str, name: str, allowed: list[str]) -> None:
    if name not in allowed:
        raise ConfigError(where, f"vLLM has no {where.replace('_', ' ')} {name!r}{did_you_mean(name, allowed)}")


@lru_cache(maxsize=1)
def _engine_arguments() -> dict[str, DataclassField[Any]]:
    """Engine arguments by name. Raises ConfigError if vLLM is not installed."""
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
    except ImportError as error:
        raise _not_installed("engine_kwargs", error) from None
    return {argument.name: argument for argument in fields(AsyncEngineArgs)}


def _not_installed(where: str, error: ImportError) -> ConfigError:
    return ConfigError(where, f"needs vLLM, which cannot be imported: {error}")


def _problems(argument: DataclassField[Any], value: JsonValue) -> Iterator[str]:
    """The value's problems: a wrong type, a value out of bounds, or a name that vLLM does not know."""
    config_fields = _config_fields(argument.name)
    types = [argument.type] if not isinstance(argument.type, str) else [field.annotation for field in config_fields]
    if value is not None:
        types += [Annotated[field.annotation, *field.metadata] for field in config_fields if field.metadata]
    for expected in types:
        yield from _mismatch(expected, value)
    if isinstance(value, str) and "." not in value:  # with a dot it names a class
        yield from _unknown_name(argument.name, value)


def _mismatch(expected: Any, value: JsonValue) -> Iterator[str]:
    # Strict as for JSON: "8" is not a number, but a list is accepted as a tuple and a string as an enum member.
    try:
        _adapter(expected).validate_json(json.dumps(value), strict=not isinstance(value, dict))
    except ValidationError as error:
        messages = dict.fromkeys(_describe(problem["loc"], problem["msg"], value) for problem in error.errors())
        yield ", or ".join(messages)


def _describe(location: tuple[int | str, ...], message: str, value: JsonValue) -> str:
    """The message, after the dictionary key that it belongs to."""
    keys = [str(step) for step in location if isinstance(value, dict) and step in value]
    return ": ".join([*keys, message[0].lower() + message[1:]])


def _adapter(expected: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(expected)
    except PydanticSchemaGenerationError:  # one of the allowed types is a class of torch
        return TypeAdapter(expected, config=ConfigDict(arbitrary_types_allowed=True))


def _config_fields(name: str) -> list[FieldInfo]:
    """The fields of that name in vLLM's own configs, which have the bounds."""
    from vllm import config

    kinds = [kind for kind in vars(config).values() if isinstance(kind, type) and kind.__name__ not in _OTHER_CONFIGS]
    fields_by_config = [getattr(kind, "__pydantic_fields__", {}) for kind in kinds]
    return [config_fields[name] for config_fields in fields_by_config if name in config_fields]


def _unknown_name(argument: str, name: str) -> Iterator[str]:
    """A problem with an argument that vLLM declares as any string and looks up only when the engine starts."""
    from vllm.config.model import TokenizerMode
    from vllm.config.parallel import DistributedExecutorBackend
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
    from vllm.model_executor.model_loader import LoadFormats

    names = {
        "quantization": QUANTIZATION_METHODS,
        "load_format": get_args(LoadFormats),
        "tokenizer_mode": get_args(TokenizerMode),
        "distributed_executor_backend": get_args(DistributedExecutorBackend),
    }
    if argument in names and name not in names[argument]:
        yield f"it should be one of {', '.join(names[argument])}"
