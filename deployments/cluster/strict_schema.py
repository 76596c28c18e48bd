"""Serve's own schemas made strict: Serve ignores unknown keys silently, this module reports them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

from models.errors.suggestions import did_you_mean

MAX_SHOWN = 40  # characters of a value
VALUE_ERROR = "Value error, "  # before the words of our own validators


@dataclass(frozen=True)
class Problem:
    """An error in a deployment file: the path of the key, what is wrong, and what is allowed."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def check_deploy_schema(raw: dict[str, Any]) -> list[Problem]:
    """The keys that Serve would drop and the values that it would refuse, in a whole deployment file."""
    return [*unknown_keys(raw, ServeDeploySchema, ""), *invalid_values(raw, ServeDeploySchema, "")]


def check_autoscaling(autoscaling: dict[str, Any], where: str) -> list[Problem]:
    """The errors in one autoscaling_config, which Serve's deployment schema does not check."""
    return invalid_values(autoscaling, AutoscalingConfig, where)


def unknown_keys(value: Any, model: type[BaseModel], where: str) -> Iterator[Problem]:
    """Keys that neither `model` nor a model inside it has, by Serve's own schema."""
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        path = f"{where}.{key}" if where else str(key)
        field = model.model_fields.get(key)
        if field is None:
            yield Problem(path, f"unknown key{did_you_mean(str(key), model.model_fields)}")
            continue
        for inner_model in _models_in(field.annotation):
            for item_path, item in _items(inner, field.annotation, path):
                yield from unknown_keys(item, inner_model, item_path)


def _items(value: Any, annotation: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The parts of a field's value that its models describe: those of a list, the values of a mapping, or the value."""
    if isinstance(value, list):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, dict) and _maps_to_models(annotation):
        yield from ((f"{path}.{key}", item) for key, item in value.items())
    else:
        yield path, value


def _maps_to_models(annotation: Any) -> bool:
    """Whether it is a mapping whose values are models, such as dict[str, TokenPrices], or has one in a union."""
    if get_origin(annotation) is dict:
        return any(True for values in get_args(annotation)[1:] for _ in _models_in(values))
    return any(map(_maps_to_models, get_args(annotation)))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic models in a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def invalid_values(value: Any, model: type[BaseModel], where: str) -> list[Problem]:
    """Values that `model` refuses or would convert. `unknown_keys` reports unknown keys, with the nearest known one."""
    try:
        return list(_converted(value, model.model_validate(value), where))
    except ValidationError as error:
        problems = [problem for problem in error.errors() if problem["type"] != "extra_forbidden"]
        return [Problem(_path(where, problem["loc"]), problem["msg"].removeprefix(VALUE_ERROR)) for problem in problems]
    except Exception as error:  # noqa: BLE001, Serve imports policies here, whose modules may raise anything
        key = f"{where}.policy" if where else "autoscaling_config.policy"
        return [Problem(key, f"cannot be imported: {type(error).__name__}: {error}")]


def _path(where: str, keys: tuple[int | str, ...]) -> str:
    return ".".join(str(key) for key in (where, *keys) if key != "")


def _converted(value: Any, parsed: Any, where: str) -> Iterator[Problem]:
    """Values of another type than the parsed ones, such as "8000" for 8000. Serve, and we, use the file's own."""
    if parsed is value:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            inner_parsed = parsed.get(key) if isinstance(parsed, Mapping) else getattr(parsed, str(key), None)
            yield from _converted(inner, inner_parsed, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list) and isinstance(parsed, list | tuple):
        for index, (inner, inner_parsed) in enumerate(zip(value, parsed, strict=False)):
            yield from _converted(inner, inner_parsed, f"{where}[{index}]")
    elif (needed := _needed_type(value, parsed)) is not None:
        yield Problem(where, f"{str(value)[:MAX_SHOWN]!r} must be {needed}")


def _needed_type(value: Any, parsed: Any) -> str | None:
    """What the value must be, in words; None if it is that."""
    if isinstance(parsed, bool):
        return None if isinstance(value, bool) else "true or false, without quotes"
    if isinstance(parsed, int | float) and isinstance(value, str | bool):
        return "a number, without quotes"
    return "a whole number, without a point" if isinstance(parsed, int) and isinstance(value, float) else None
