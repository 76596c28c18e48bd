"""Lists of numbers in the options of the benchmarks."""

import pytest

from models.errors.requests import InvalidRequestError
from serve.cli.driver.options import decimals, numbers


def test_lists_are_separated_by_commas() -> None:
    assert numbers("1,16, 64", "clients") == (1, 16, 64)
    assert decimals("0.5,2", "shares") == (0.5, 2.0)


def test_anything_else_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="'1;2' is not a comma-separated list of whole numbers"):
        numbers("1;2", "clients")
