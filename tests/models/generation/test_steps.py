"""The calls of an answer in steps: bounded, in order, and each passage in one of them."""

import pytest

from models.generation.step_markers import MarkerSieve, numbers_in, sifted
from models.generation.steps import FAN_IN, num_tree_calls, refine_groups, split, tree_groups

TEXT = "Low [1]. High [2, 3] and `code[9]`; row[99] is wide [9]."


def test_refine_reads_a_passage_a_call_the_best_first() -> None:
    assert refine_groups((2, 0, 1), 8) == [(2,), (0,), (1,)]


def test_passages_share_calls_where_calls_are_few() -> None:
    assert refine_groups(range(7), 3) == [(0, 1), (2, 3), (4, 5, 6)]


@pytest.mark.parametrize("num_passages", [0, 1, 2, 5, 17, 50])
@pytest.mark.parametrize("max_calls", [2, 3, 8, 9, 64])
def test_all_passages_are_read_in_at_most_so_many_calls(num_passages: int, max_calls: int) -> None:
    places = tuple(range(num_passages))
    refining, notes = refine_groups(places, max_calls), tree_groups(places, max_calls)

    assert sum(refining, ()) == sum(notes, ()) == places
    assert len(refining) <= max_calls
    assert num_tree_calls(len(notes)) <= max_calls


def test_notes_of_pairs_and_one_answer_from_them() -> None:
    assert tree_groups((4, 3, 2, 1, 0), 8) == [(4,), (3, 2), (1, 0)]
    assert [num_tree_calls(number) for number in (0, 1, 2, FAN_IN, FAN_IN + 1)] == [0, 1, 3, FAN_IN + 1, FAN_IN + 4]


def test_nothing_is_split_into_nothing() -> None:
    assert split((), 0) == []


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_markers_of_passages_that_were_not_read_are_dropped(size: int) -> None:
    sieve = MarkerSieve(frozenset({1, 3}), num_passages=9)

    pieces = [sieve.read(TEXT[start : start + size]) for start in range(0, len(TEXT), size)]

    assert "".join([*pieces, sieve.read("", is_last=True)]) == "Low [1]. High [3] and `code[9]`; row[99] is wide."


def test_a_text_that_cites_what_it_may_stays_as_it_is() -> None:
    assert sifted(TEXT, frozenset(range(1, 10)), 9) == TEXT
    assert sifted("", frozenset(), 0) == ""


def test_the_numbers_of_a_text_are_those_of_its_markers() -> None:
    assert numbers_in(TEXT) == {1, 2, 3, 9, 99}
    assert numbers_in("`[4]` and [\u20605] and [2024]") == frozenset()
