"""Encoded attributes and filters for Milvus: the same order, the same results, no text of the caller to parse."""

import itertools
import random
import re

import pytest

from models.filters import Comparison, Compound
from models.index.milvus_filter import encode_attributes, encode_text, to_expression

TEXTS = ["", "\0", "a", "a\0", "ab", "b", "z", "~", "é", "ü", "日本", "\ud800", "\uffff", "\U0001f600", 'a"b', "a\\"]
NUMBERS = [float("-inf"), -1e300, -2.0, -1.5, -1, -1e-300, 0, 1e-300, 0.5, 1, 1.5, 2, 10, 1e300, float("inf")]


def encoded(value: str | float) -> str:
    return encode_attributes({"key": value})["k" + encode_text("key")]


def test_texts_keep_the_order_of_their_code_points() -> None:
    in_order = sorted(TEXTS)

    assert sorted(encode_text(text) for text in in_order) == [encode_text(text) for text in in_order]
    assert len({encode_text(text) for text in TEXTS}) == len(TEXTS)


def test_any_two_texts_compare_as_their_encodings_do() -> None:
    source = random.Random(7)
    texts = ["".join(chr(source.choice([0, 65, 66, 233, 0x20AC, 0x1F600])) for _ in range(n % 5)) for n in range(60)]

    for first, second in itertools.combinations(texts, 2):
        assert (first < second) == (encode_text(first) < encode_text(second))


def test_numbers_keep_their_order_and_zero_has_no_sign() -> None:
    assert sorted(encoded(number) for number in NUMBERS) == [encoded(number) for number in NUMBERS]
    assert encoded(-0.0) == encoded(0)
    assert encoded(1) == encoded(1.0) != encoded(True)
    assert encoded(10**400) == encoded(float("inf"))


@pytest.mark.parametrize("text", ['" or tenant != "', "\\", '\\" or 1==1 //', "'; drop", "日\n本", "{v}", "%", "\0"])
def test_an_expression_has_no_text_of_the_caller(text: str) -> None:
    where = Compound(
        "or",
        (
            Comparison("eq", text, text),
            Comparison("nin", text, (text, 1.0)),
            Comparison("lt", text, text),
        ),
    )

    quoted = re.findall(r'"([^"]*)"', to_expression(where))
    unquoted = re.sub(r'"[^"]*"', "", to_expression(where))

    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", value) for value in quoted)
    assert re.fullmatch(r"[a-z_ ()\[\]=!<>]+", unquoted)


def test_a_boolean_has_no_order_and_an_empty_list_no_member() -> None:
    nothing = to_expression(Comparison("in", "key", ()))

    assert to_expression(Comparison("gt", "key", True)) == nothing
    assert nothing == "(file_key == 0 and file_key == 1)"
    assert to_expression(Comparison("nin", "key", ())) == "(file_key == 0 or file_key != 0)"
