"""Filter results are cached, and updated when attributes change."""

import numpy as np

from models.filters import Comparison, matches
from models.index import attributes
from models.index.attributes import FileAttributes

NORTH = Comparison("eq", "place", "north")


def allowed(files: FileAttributes, where: Comparison = NORTH) -> list[int]:
    return files.file_keys[files.allowed(where)].tolist()


def test_each_file_has_one_slot_in_the_order_of_appearance() -> None:
    files = FileAttributes()
    files.set({70: {"place": "north"}})

    assert files.slots(np.array([2**40, 70, 2**40])).tolist() == [1, 0, 1]
    assert files.slots(np.array([], np.int64)).tolist() == []
    assert files.file_keys.tolist() == [70, 2**40]
    assert files.by_file() == {70: {"place": "north"}, 2**40: {}}


def test_a_cached_filter_result_follows_every_change() -> None:
    files = FileAttributes()
    assert allowed(files) == []

    files.set({1: {"place": "north"}, 2: {"place": "south"}})
    assert allowed(files) == [1]
    files.slots(np.array([3]))
    files.set({2: {"place": "north"}, 1: {}})
    assert allowed(files) == [2]
    assert allowed(files, Comparison("ne", "place", "north")) == [1, 3]


def test_filter_results_stay_right_when_the_journal_is_cleared() -> None:
    files = FileAttributes()
    files.set({file: {"n": file % 2} for file in range(100)})
    odd = Comparison("eq", "n", 1)
    assert len(allowed(files, odd)) == 50

    for _ in range(attributes.MIN_JOURNAL // 100 + 2):
        files.set({file: {"n": 1} for file in range(100)})
        assert len(allowed(files, odd)) == 100


def test_the_number_of_cached_filters_is_limited() -> None:
    files = FileAttributes()
    files.set({file: {"n": file} for file in range(10)})

    for number in range(3 * attributes.MAX_FILTERS):
        assert allowed(files, Comparison("lt", "n", number % 11)) == list(range(number % 11))
        assert allowed(files, Comparison("eq", "n", number + 100)) == []
    assert len(files._memos) == attributes.MAX_FILTERS


def test_true_and_one_are_two_filters() -> None:
    files = FileAttributes()
    files.set({1: {"draft": True}, 2: {"draft": 1}})

    assert allowed(files, Comparison("eq", "draft", True)) == [1]
    assert allowed(files, Comparison("eq", "draft", 1)) == [2]
    assert not matches(Comparison("eq", "draft", 1), {"draft": True})


def test_attributes_are_copied() -> None:
    files, mine = FileAttributes(), {"place": "north"}
    files.set({1: mine})

    mine["place"] = "south"

    assert allowed(files) == [1]
