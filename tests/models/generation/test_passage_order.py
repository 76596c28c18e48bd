from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest

from models.generation.passage_order import OrderName, PassageCounts, PopularityOrder, passage_order
from models.types.scope import Scope

SCOPE = Scope("acme", ("manuals",))


@pytest.mark.parametrize("name", get_args(OrderName))
def test_every_order_is_a_permutation(name: OrderName) -> None:
    order = passage_order(name)

    assert order.arrange(SCOPE, []) == ()
    assert sorted(order.arrange(SCOPE, [30, 10, 20])) == [0, 1, 2]


def test_relevance_leaves_the_passages_as_they_were_found() -> None:
    order = passage_order("relevance")
    order.arrange(SCOPE, [20])

    assert order.arrange(SCOPE, [30, 10, 20]) == (0, 1, 2)


def test_what_was_asked_for_most_comes_first_and_the_rest_by_key() -> None:
    order = PopularityOrder()
    for keys in ([7], [7, 5], [7, 5, 9]):
        order.arrange(SCOPE, keys)

    # Counted: 7 four times, 5 three, 9 two; 3 and 1 now for the first time.
    assert order.arrange(SCOPE, [3, 9, 1, 5, 7]) == (4, 3, 1, 2, 0)


def test_questions_about_the_same_passages_get_the_same_order() -> None:
    order = PopularityOrder()
    order.arrange(SCOPE, [4, 2])

    arranged = [[keys[place] for place in order.arrange(SCOPE, keys)] for keys in ([1, 2, 3, 4], [4, 3, 1, 2])]

    assert arranged[0] == arranged[1] == [2, 4, 1, 3]


@pytest.mark.parametrize("other", [Scope("rival", ("manuals",)), Scope("acme", ("letters",))])
def test_no_other_tenant_or_store_shows_in_the_order(other: Scope) -> None:
    order = PopularityOrder()
    for _ in range(5):
        order.arrange(other, [9])

    assert order.arrange(SCOPE, [1, 9]) == (0, 1)


def test_the_same_stores_in_another_order_are_the_same_scope() -> None:
    order = PopularityOrder()
    order.arrange(Scope("acme", ("a", "b")), [9])

    assert order.arrange(Scope("acme", ("b", "a", "b")), [1, 9]) == (1, 0)


def test_a_count_halves_after_its_half_life() -> None:
    counts = PassageCounts(half_life=2)
    counts.add([1])
    counts.add([2])
    counts.add([2])

    assert (counts.count(1), counts.count(3)) == (0.5, 0.0)
    assert counts.count(2) == 1 + 0.5**0.5


def test_what_was_popular_long_ago_gives_way() -> None:
    order = PopularityOrder(half_life=2)
    for keys in ([1], [1], [1], [2], [2], [2], [2]):
        order.arrange(SCOPE, keys)

    assert order.arrange(SCOPE, [1, 2]) == (1, 0)


def test_memory_is_bounded_in_passages() -> None:
    counts = PassageCounts(half_life=10, max_passages=3)
    for key in range(10):
        counts.add([key])

    assert len(counts) == 3
    assert counts.count(6) == 0
    assert counts.count(7) > 0


def test_memory_is_bounded_in_scopes() -> None:
    order = PopularityOrder(max_scopes=2)
    for store in ("a", "b", "a", "c"):
        order.arrange(Scope("acme", (store,)), [9])

    assert order.arrange(Scope("acme", ("a",)), [1, 9]) == (1, 0)
    assert order.arrange(Scope("acme", ("b",)), [1, 9]) == (0, 1)


def test_threads_lose_no_count() -> None:
    order = PopularityOrder(half_life=1e9)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: order.arrange(SCOPE, [9]), range(500)))
    for _ in range(499):
        order.arrange(SCOPE, [1])

    # 500 requests of passage 1 with this one, 501 of passage 9: one lost would make them equal.
    assert order.arrange(SCOPE, [1, 9]) == (1, 0)
