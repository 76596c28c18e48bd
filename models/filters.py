"""Filters on the attributes of files, with OpenAI's operators: eq ne gt gte lt lte in nin, and, or.

A file without the attribute matches only `ne` and `nin`. A number never equals a string, and a boolean never equals a
number. Strings are ordered by code point.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from models.errors.requests import InvalidRequestError

AttributeValue = str | float | bool
Attributes = Mapping[str, AttributeValue]
ComparisonOp = Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
CompoundOp = Literal["and", "or"]

MAX_DEPTH = 8
MAX_COMPARISONS = 64

_ORDER: dict[str, Callable[[str | float, str | float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Comparison:
    """Compares one attribute with a value, or with a tuple of values for `in` and `nin`."""

    op: ComparisonOp
    key: str
    value: AttributeValue | tuple[AttributeValue, ...]

    # In Python 1 == True, so two different filters would be the same key of a dict.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Comparison) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return self.op, self.key, self.value, tuple(isinstance(value, bool) for value in values)


@dataclass(frozen=True)
class Compound:
    """Matches if all of `filters` match (`and`), or any of them (`or`)."""

    op: CompoundOp
    filters: "tuple[Filter, ...]"


Filter = Comparison | Compound


def check_filter(where: Filter) -> None:
    """Raise InvalidRequestError for a filter that is invalid, too deep or too large."""
    if _depth(where) > MAX_DEPTH:
        raise InvalidRequestError(f"the filter is nested too deep; at most {MAX_DEPTH} levels are allowed", "filters")
    comparisons = _comparisons(where)
    if not 1 <= len(comparisons) <= MAX_COMPARISONS:
        raise InvalidRequestError(
            f"the filter has {len(comparisons)} comparisons; it must have 1 to {MAX_COMPARISONS}", "filters"
        )
    for comparison in comparisons:
        _check_value(comparison)


def matches(where: Filter, attributes: Attributes) -> bool:
    """Whether a file with these attributes matches."""
    if isinstance(where, Compound):
        return (all if where.op == "and" else any)(matches(operand, attributes) for operand in where.filters)
    actual = attributes.get(where.key)
    match where.op:
        case "eq":
            return _is_equal(actual, where.value)
        case "ne":
            return not _is_equal(actual, where.value)
        case "in" | "nin":
            assert isinstance(where.value, tuple)
            return any(_is_equal(actual, value) for value in where.value) == (where.op == "in")
        case _:
            return _is_ordered(where.op, actual, where.value)


def _is_equal(actual: AttributeValue | None, value: object) -> bool:
    return actual is not None and isinstance(actual, bool) == isinstance(value, bool) and actual == value


def _is_ordered(op: str, actual: AttributeValue | None, value: object) -> bool:
    if isinstance(actual, str) and isinstance(value, str):
        return _ORDER[op](actual, value)
    return _is_number(actual) and _is_number(value) and _ORDER[op](actual, value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_value(comparison: Comparison) -> None:
    is_list = isinstance(comparison.value, tuple)
    if is_list != (comparison.op in ("in", "nin")):
        expected = "a list of values" if comparison.op in ("in", "nin") else "one value"
        raise InvalidRequestError(f"filter {comparison.op!r} on {comparison.key!r} needs {expected}", "filters")
    if comparison.op in _ORDER and isinstance(comparison.value, bool):
        problem = f"filter {comparison.op!r} on {comparison.key!r} needs a number or a string"
        raise InvalidRequestError(problem, "filters")


def _depth(where: Filter) -> int:
    return 1 + max((_depth(operand) for operand in where.filters), default=0) if isinstance(where, Compound) else 1


def _comparisons(where: Filter) -> list[Comparison]:
    if isinstance(where, Comparison):
        return [where]
    return [comparison for operand in where.filters for comparison in _comparisons(operand)]
