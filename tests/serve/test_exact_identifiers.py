"""The exact identifier before near ones, around a reranker that prefers the shortest text."""

from pathlib import Path

import numpy as np
import pytest

from models.reranking.query import SearchedQuery
from models.types.chunks import Passage
from models.types.scope import Scope
from serve.pipelines.exact_identifiers import ExactIdentifiers, ExactRetrieval, exact_first
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline
from serve.pipelines.retrieving import RetrievalQuery
from serve.pipelines.routed_retrieval import RoutedRetrieval
from tests.contexts import within
from tests.inline import ShortestFirst, ingest, open_corpus, retrieval_stages

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


async def test_in_a_keyword_search_the_exact_version_comes_first(tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path)
    for name in ("v5.1.2", "v5.1", "v5.1.20", "v5.1.7"):
        await ingest(corpus, f"{name}.md", f"# Notes {name}\n\nVersion {name} repairs the lift of {name}.\n".encode())
    retrieving = RoutedRetrieval(ExactRetrieval(RetrievalPipeline(retrieval_stages(corpus), RetrievalConfig())))

    for name in ("v5.1", "V5.1.2", "5.1.20"):
        query = RetrievalQuery(name, Scope("default", ("default",)), top_k=2)
        retrieved = await retrieving.retrieve(query, within(10))
        assert retrieved.passages[0].filename == f"v{name.lower().removeprefix('v')}.md"
        assert [passage.score for passage in retrieved.passages] == sorted(
            (passage.score for passage in retrieved.passages), reverse=True
        )
        assert len(retrieved.passages) <= 2
    corpus.close()
