"""Nested values as lines of `path: value`, which a reader and a search understand without the brackets."""

from collections.abc import Iterator
from typing import Any

MAX_INLINE_CHARS = 200  # of a list of plain values on one line
MAX_PATH_CHARS = 200


def value_lines(value: Any, path: str = "") -> Iterator[str]:
    """A line for each plain value; a list of plain values is one line. Recursion is as deep as the value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from value_lines(inner, joined_path(path, str(key)))
    elif isinstance(value, list):
        yield from _list_lines(value, path)
    else:
        text = plain(value)
        if text:
            yield f"{path}: {text}" if path else text


def joined_path(path: str, name: str) -> str:
    """A path and a name below it. A long one loses its beginning, else deep files would be mostly paths."""
    return f"{path}.{name}"[-MAX_PATH_CHARS:] if path else name[:MAX_PATH_CHARS]


def _list_lines(values: list[Any], path: str) -> Iterator[str]:
    if all(not isinstance(value, dict | list) for value in values):
        texts = [text for value in values if (text := plain(value))]
        if sum(map(len, texts)) <= MAX_INLINE_CHARS or all(isinstance(value, _Number) for value in values):
            texts = [", ".join(texts)] if texts else []
        yield from (f"{path}: {text}" if path else text for text in texts)
        return
    if all(isinstance(value, list) for value in values) and _is_numeric(values):
        text = _matrix(values)
        yield f"{path}: {text}" if path else text
        return
    for number, value in enumerate(values):
        yield from value_lines(value, f"{path}[{number}]" if path else f"[{number}]")


class _Number(str):
    """A number as the file writes it: 1.10 stays 1.10, and no digit is lost."""


def number(text: str) -> Any:
    """For json's parse_int and parse_float."""
    return _Number(text)


def plain(value: Any) -> str:
    """A plain value as JSON writes it; strings as they are, null as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()


def _is_numeric(values: list[Any]) -> bool:
    """Whether nested lists have numbers alone: coordinates, a matrix."""
    return all(_is_numeric(value) if isinstance(value, list) else isinstance(value, _Number) for value in values)


def _matrix(values: list[Any]) -> str:
    return f"[{', '.join(_matrix(value) if isinstance(value, list) else value for value in values)}]"
