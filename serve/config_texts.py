"""Texts of a deployment file that a shell would replace, and this file does not: `${HOME}/data`, `~/data`."""

import re
from collections.abc import Iterator
from typing import Any

from deployments.cluster.strict_schema import Problem

VARIABLE = re.compile(r"\$\{\w+\}|^\$[A-Z_][A-Z0-9_]*(?=/|$)|^~(?=/|$)")
EXPANDED_BY_RAY = "runtime_env"
MESSAGE = "{!r} is not replaced in this file; write the value itself (docs/shipping.md says where secrets go)"


def literal_variables(raw: dict[str, Any]) -> list[Problem]:
    """Every text with a variable of the environment, or the home folder, by its key. The text itself is not shown."""
    return list(_variables(raw, "", set()))


def _variables(value: Any, where: str, visited: set[int]) -> Iterator[Problem]:
    """`visited`: a mapping or list that aliases repeat, or that contains itself, is read once."""
    if isinstance(value, str) and (match := VARIABLE.search(value)):
        yield Problem(where, MESSAGE.format(match[0]))
    if not isinstance(value, dict | list) or id(value) in visited:
        return
    visited.add(id(value))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _variables(inner, f"{where}[{index}]", visited)
        return
    for key, inner in value.items():
        if key != EXPANDED_BY_RAY:
            yield from _variables(inner, f"{where}.{key}" if where else key, visited)
