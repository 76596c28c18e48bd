"""Filters on attributes: each operator with each type, and refused filters."""

import pytest

from models.errors.requests import InvalidRequestError
from models.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    Attributes,
    AttributeValue,
    Comparison,
    ComparisonOp,
    Compound,
    Filter,
    check_filter,
    matches,
)

NORTH = Comparison("eq", "place", "north")


@pytest.mark.parametrize(
    ("op", "value", "lets_through"),
    [
        # The matches among 1, 2.5, True, "1", "a", "" and no attribute.
        ("eq", 1, [1]),
        ("eq", 1.0, [1]),
        ("eq", True, [True]),
        ("eq", "1", ["1"]),
        ("ne", 1, [2.5, True, "1", "a", "", None]),
        ("ne", True, [1, 2.5, "1", "a", "", None]),
        ("gt", 1, [2.5]),
        ("gte", 1, [1, 2.5]),
        ("lt", 2.5, [1]),
        ("lte", 2.5, [1, 2.5]),
        ("gt", "1", ["a"]),
        ("gte", "", ["1", "a", ""]),
        ("lt", "a", ["1", ""]),
        ("lte", "", [""]),
        ("in", (1, "a"), [1, "a"]),
        ("in", (True,), [True]),
        ("in", (), []),
        ("nin", (1, "a"), [2.5, True, "1", "", None]),
        ("nin", (), [1, 2.5, True, "1", "a", "", None]),
    ],
)
def test_each_operator_knows_types(
    op: ComparisonOp, value: AttributeValue | tuple[AttributeValue, ...], lets_through: list[AttributeValue | None]
) -> None:
    values: list[AttributeValue | None] = [1, 2.5, True, "1", "a", "", None]

    matching = [
        attribute
        for attribute in values
        if matches(Comparison(op, "key", value), {} if attribute is None else {"key": attribute})
    ]

    # Compare as text, because 1 == True.
    assert [repr(attribute) for attribute in matching] == [repr(attribute) for attribute in lets_through]


def test_strings_are_ordered_by_code_point() -> None:
    for smaller, greater in [("Z", "a"), ("z", "é"), ("10", "9"), ("a", "ab"), ("\uffff", "\U0001f600")]:
        assert matches(Comparison("lt", "key", greater), {"key": smaller})
        assert not matches(Comparison("gte", "key", greater), {"key": smaller})


@pytest.mark.parametrize(
    ("attributes", "both", "either"),
    [
        ({"place": "north", "year": 2020}, True, True),
        ({"place": "north"}, False, True),
        ({"year": 2020}, False, True),
        ({}, False, False),
    ],
)
def test_filters_are_joined(attributes: Attributes, both: bool, either: bool) -> None:
    parts = (NORTH, Comparison("gte", "year", 2020))

    assert matches(Compound("and", parts), attributes) == both
    assert matches(Compound("or", parts), attributes) == either
    assert matches(Compound("or", (Compound("and", parts), NORTH)), attributes) == ("place" in attributes)


def test_filters_that_let_other_files_through_are_not_equal() -> None:
    boolean, number = Comparison("eq", "draft", True), Comparison("eq", "draft", 1)
    with_boolean, with_number = Comparison("in", "draft", (True, 0)), Comparison("in", "draft", (1, 0))

    assert (
        len({boolean, number, with_boolean, with_number, Compound("and", (boolean,)), Compound("and", (number,))}) == 6
    )
    assert Comparison("eq", "draft", 1.0) == number
    assert len({Compound("or", (NORTH,)), Compound("or", (Comparison("eq", "place", "north"),))}) == 1


def nested(depth: int) -> Filter:
    where: Filter = NORTH
    for _ in range(depth - 1):
        where = Compound("and", (where,))
    return where


def test_a_filter_within_the_limits_is_accepted() -> None:
    check_filter(NORTH)
    check_filter(nested(MAX_DEPTH))
    check_filter(Compound("or", (NORTH,) * MAX_COMPARISONS))
    check_filter(Comparison("in", "draft", (True, "x", 1)))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (nested(MAX_DEPTH + 1), "nested too deep; at most 8"),
        (Compound("or", (NORTH,) * (MAX_COMPARISONS + 1)), "65 comparisons"),
        (Compound("and", ()), "0 comparisons"),
        (Comparison("eq", "place", ("north",)), "needs one value"),
        (Comparison("in", "place", "north"), "needs a list"),
        (Comparison("gt", "draft", True), "needs a number or a string"),
        (Compound("and", (NORTH, Comparison("nin", "place", "north"))), "needs a list"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(where: Filter, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as error:
        check_filter(where)
    assert error.value.param == "filters"
