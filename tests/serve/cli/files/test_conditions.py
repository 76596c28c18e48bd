import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.files.conditions import to_attributes, to_filter


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("team=north", {"type": "eq", "key": "team", "value": "north"}),
        ("year >= 2020", {"type": "gte", "key": "year", "value": 2020}),
        ("year<2020.5", {"type": "lt", "key": "year", "value": 2020.5}),
        ("draft!=true", {"type": "ne", "key": "draft", "value": True}),
        ('code="007"', {"type": "eq", "key": "code", "value": "007"}),
        ("код=а=б", {"type": "eq", "key": "код", "value": "а=б"}),
        ("list=[1]", {"type": "eq", "key": "list", "value": "[1]"}),
        ("empty=", {"type": "eq", "key": "empty", "value": ""}),
    ],
)
def test_a_condition_is_a_comparison(condition: str, expected: dict[str, object]) -> None:
    assert to_filter([condition]) == expected


def test_several_conditions_must_all_hold() -> None:
    both = to_filter(["a=1"], '{"type": "in", "key": "b", "value": [1, 2]}')

    assert both == {
        "type": "and",
        "filters": [{"type": "eq", "key": "a", "value": 1}, {"type": "in", "key": "b", "value": [1, 2]}],
    }


@pytest.mark.parametrize(
    ("conditions", "raw", "problem"),
    [
        ([], None, "--where"),
        (["north"], None, "key=value"),
        (["=north"], None, "key=value"),
        ([], "{", "not JSON"),
        ([], "[1]", "object"),
    ],
)
def test_an_invalid_condition_is_refused(conditions: list[str], raw: str | None, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        to_filter(conditions, raw)


def test_attributes_are_set_and_removed() -> None:
    assert to_attributes(["a=1", "b=x=y"], ["c"]) == {"a": 1, "b": "x=y", "c": None}
    with pytest.raises(InvalidRequestError, match="key=value"):
        to_attributes(["a"], [])
