"""The exact identifier before near ones, around a reranker that prefers the shortest text."""

import numpy as np
import pytest

from models.reranking.query import SearchedQuery
from models.types import Passage
from serve.pipelines.exact_identifiers import ExactIdentifiers, exact_first
from tests.contexts import within
from tests.inline import ShortestFirst

TEXTS = [
    "Release 4.1.2 is quick.",
    "Release v4.2.1 repairs the export of large tables.",
    "Release notes.",
    "Release 2.4.1 repairs the search.",
    "Ticket OPS-88-1207: the gate.",
    "Ticket OPS-1207-88: the roof of the hall.",
]


def passages(texts: list[str]) -> list[Passage]:
    return [Passage(key, f"chunk{key}", "file", "a.md", text, 0, len(text)) for key, text in enumerate(texts)]


async def order(query: str) -> list[int]:
    reranking = await ExactIdentifiers(ShortestFirst()).rerank(SearchedQuery(query), passages(TEXTS), within(5))
    return np.argsort(-reranking.scores, kind="stable").tolist()


async def shortest_first() -> list[int]:
    reranking = await ShortestFirst().rerank(SearchedQuery(""), passages(TEXTS), within(5))
    return np.argsort(-reranking.scores, kind="stable").tolist()


@pytest.mark.parametrize(
    ("query", "exact", "near"),
    [
        ("What does version 4.2.1 repair?", 1, [0, 3]),
        ("What does v4.2.1 repair?", 1, [0, 3]),
        ("What is wrong according to ops-1207-88?", 5, [4]),
    ],
)
async def test_the_exact_identifier_comes_before_near_ones(query: str, exact: int, near: list[int]) -> None:
    ranked = await order(query)

    assert ranked[ranked.index(exact) + 1 :][: len(near)] == near
    others = [key for key in await shortest_first() if key not in (exact, *near)]
    assert [key for key in ranked if key not in (exact, *near)] == others


@pytest.mark.parametrize("query", ["What is repaired?", "What does release 9.9.9 repair?", "in 2024"])
async def test_without_the_identifier_the_order_stays(query: str) -> None:
    assert await order(query) == await shortest_first()


def test_unread_candidates_stay_unread() -> None:
    scores = np.array([0.9, 0.2, np.nan, 0.3, 0.8, np.nan], np.float32)

    lowered = exact_first(scores, passages(TEXTS), frozenset({"4\u07802\u07801"}))

    assert np.isnan(lowered[[2, 5]]).all()
    assert lowered[1] > lowered[0] > lowered[3]
    assert lowered[4] == scores[4]
