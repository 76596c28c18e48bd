"""Conditions and attributes as the command line writes them: `year>=2020`, `team=north`."""

import json
import re
from collections.abc import Sequence
from typing import Any

from models.errors.requests import InvalidRequestError

# Longer signs first: ">=" is not ">" and a value that begins with "=".
OPERATORS = {">=": "gte", "<=": "lte", "!=": "ne", "=": "eq", ">": "gt", "<": "lt"}
CONDITION = re.compile("(?P<key>[^=!<>]+)(?P<sign>" + "|".join(OPERATORS) + ")(?P<value>.*)", re.DOTALL)


def to_filter(conditions: Sequence[str], raw: str | None = None) -> dict[str, Any]:
    """The API's filter: all conditions at once, and the filter `raw` in JSON. Raises InvalidRequestError."""
    filters = [_comparison(condition) for condition in conditions]
    if raw is not None:
        filters.append(_parsed(raw))
    if not filters:
        raise InvalidRequestError("say which files: --where key=value, or --filter with JSON", "where")
    return filters[0] if len(filters) == 1 else {"type": "and", "filters": filters}


def to_attributes(settings: Sequence[str], removed: Sequence[str]) -> dict[str, Any]:
    """The attributes to set, `key=value` each, and those to remove, as null. Raises InvalidRequestError."""
    attributes: dict[str, Any] = dict.fromkeys(removed)
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign or not key:
            raise InvalidRequestError(f"--set {setting!r} must have the form key=value", "set")
        attributes[key] = to_value(value)
    return attributes


def to_value(text: str) -> str | bool | int | float:
    """A number, true or false as in JSON, else the text. Write quotes around a number that is a text: '"7"'."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | bool | int | float) else text


def _comparison(condition: str) -> dict[str, Any]:
    match = CONDITION.fullmatch(condition)
    if match is None:
        problem = f"--where {condition!r} must have the form key=value; the signs are {' '.join(OPERATORS)}"
        raise InvalidRequestError(problem, "where")
    return {"type": OPERATORS[match["sign"]], "key": match["key"].strip(), "value": to_value(match["value"].strip())}


def _parsed(raw: str) -> dict[str, Any]:
    try:
        parsed = json.loads(raw)
    except ValueError as error:
        raise InvalidRequestError(f"--filter is not JSON: {error}", "filter") from None
    if not isinstance(parsed, dict):
        raise InvalidRequestError("--filter must be a JSON object", "filter")
    return parsed
