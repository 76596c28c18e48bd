"""The retrieval path over a real corpus, without Ray: modes, fusion, filters, order, and what fails."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.corpus.corpus import Corpus
from models.errors.limits import OverloadedError
from models.errors.requests import InvalidRequestError, NotFoundError
from models.errors.stages import StageUnavailableError
from models.filters import Comparison
from models.reranking.query import SearchedQuery
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from models.types.scope import Scope
from models.types.stage_results import Reranking
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline
from serve.pipelines.retrieving import RetrievalOptions, RetrievalQuery, Retrieved
from serve.pipelines.routed_retrieval import RoutedRetrieval
from tests.contexts import within
from tests.inline import Failing, ShortestFirst, ingest, open_corpus, retrieval_stages

FILES = {
    "bread.md": b"Bread is baked in an oven that is heated with beech wood.",
    "oven.md": b"An oven of stone keeps its heat for a whole day after the fire has gone out.",
    "error.md": b"The controller prints ERR_OVEN_42 when the door of the oven does not close.",
    "walrus.md": b"A walrus rests on the ice between two dives and eats clams.",
}


@pytest.fixture
async def corpus(tmp_path: Path) -> Corpus:
    corpus = open_corpus(tmp_path)
    for filename, content in FILES.items():
        await ingest(corpus, filename, content)
    return corpus


async def retrieve(
    corpus: Corpus, text: str, top_k: int = 4, stages: dict[str, Any] | None = None, **options: Any
) -> Retrieved:
    parts = replace(retrieval_stages(corpus), **(stages or {}))
    pipeline = RoutedRetrieval(RetrievalPipeline(parts, RetrievalConfig()))
    query = RetrievalQuery(text, Scope("default", ("default",)), top_k, options=RetrievalOptions(**options))
    return await pipeline.retrieve(query, within(10))


def names(retrieved: Retrieved) -> list[str]:
    return [passage.filename for passage in retrieved.passages]


async def test_one_search_alone_uses_only_its_stage(corpus: Corpus) -> None:
    down = Failing(StageUnavailableError("down"))

    dense = await retrieve(corpus, "oven wood", stages={"lexical": down}, mode="dense", rerank=False)
    lexical = await retrieve(
        corpus, "oven wood", stages={"dense": down, "embedder": down}, mode="lexical", rerank=False
    )

    assert names(dense)[0] == names(lexical)[0] == "bread.md"
    assert dense.trace.degraded == lexical.trace.degraded == []
    assert "walrus.md" not in names(lexical)
    assert "walrus.md" in names(dense)


async def test_one_of_two_searches_may_fail(corpus: Corpus) -> None:
    down = Failing(OverloadedError("dense"))

    retrieved = await retrieve(corpus, "what heats the oven?", stages={"dense": down}, rerank=False)

    assert retrieved.trace.degraded == ["dense"]
    assert "oven.md" in names(retrieved)
    with pytest.raises(OverloadedError):
        await retrieve(corpus, "oven", stages={"dense": down}, mode="dense")


async def test_scores_lie_between_0_and_1_and_fall(corpus: Corpus) -> None:
    for options in (
        {"mode": "dense"},
        {"mode": "lexical"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "fusion": "rrf"},
    ):
        retrieved = await retrieve(corpus, "oven heated with wood", rerank=False, **options)

        scores = [passage.score for passage in retrieved.passages]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


async def test_weights_of_a_request_decide_between_the_searches(corpus: Corpus) -> None:
    text = "walrus clams oven"

    dense = await retrieve(corpus, text, mode="hybrid", rerank=False, dense_weight=1.0, lexical_weight=0.0)
    only_dense = await retrieve(corpus, text, mode="dense", rerank=False)

    assert names(dense)[:1] == names(only_dense)[:1]
    with pytest.raises(InvalidRequestError):
        await retrieve(corpus, text, mode="hybrid", dense_weight=0.0, lexical_weight=0.0)


async def test_passages_under_the_threshold_are_left_out(corpus: Corpus) -> None:
    every = await retrieve(corpus, "oven heated with wood", rerank=False)
    best = every.passages[0].score

    above = await retrieve(corpus, "oven heated with wood", rerank=False, score_threshold=best)

    assert names(above) == names(every)[:1]


class OutOfTime(ShortestFirst):
    """Reads the first two candidates only."""

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        reranking = await super().rerank(query, candidates, context)
        return replace(reranking, scores=np.append(reranking.scores[:2], [np.nan] * (len(candidates) - 2)))


async def test_candidates_that_the_reranker_had_no_time_for_keep_their_order_below_the_others(corpus: Corpus) -> None:
    fused = names(await retrieve(corpus, "oven heated with wood", rerank=False))

    retrieved = await retrieve(corpus, "oven heated with wood", stages={"reranker": OutOfTime()})

    assert names(retrieved) == [*sorted(fused[:2], key=lambda name: len(FILES[name])), *fused[2:]]
    assert retrieved.trace.degraded == ["rerank_partial"]
    assert retrieved.trace.models["rerank"] == "shortest-first"


async def test_an_identifier_goes_to_the_keyword_search_alone(corpus: Corpus) -> None:
    retrieved = await retrieve(corpus, "ERR_OVEN_42", stages={"dense": Failing(OverloadedError("dense"))})

    assert names(retrieved)[0] == "error.md"
    assert retrieved.trace.degraded == []
    assert "dense" not in retrieved.trace.timings_s


async def test_every_passage_contains_the_quoted_phrase(corpus: Corpus) -> None:
    retrieved = await retrieve(corpus, '"keeps its heat"')

    assert names(retrieved) == ["oven.md"]


async def test_an_unknown_identifier_falls_back_to_both_searches(corpus: Corpus) -> None:
    retrieved = await retrieve(corpus, "XYZ_UNKNOWN_99")

    assert len(retrieved.passages) > 0
    assert "dense" in retrieved.trace.timings_s


async def test_the_same_text_in_two_files_is_shown_once(corpus: Corpus) -> None:
    await ingest(corpus, "copy.md", FILES["bread.md"])

    once = await retrieve(corpus, "bread baked in an oven", 5, rerank=False)
    twice = await retrieve(corpus, "bread baked in an oven", 5, rerank=False, dedup=False)

    assert len({"bread.md", "copy.md"} & set(names(once))) == 1
    assert {"bread.md", "copy.md"} <= set(names(twice))


async def test_documents_of_a_template_that_the_query_names_are_all_returned(corpus: Corpus) -> None:
    for tenant in ("Fisher", "Gardner", "Harper"):
        text = f"# Lease\n\n{' '.join(f'clause{number}' for number in range(80))} {tenant} pays the rent."
        await ingest(corpus, f"{tenant.lower()}.md", text.encode())

    retrieved = await retrieve(corpus, "Compare the rent of Harper and Fisher", 5, rerank=False)

    assert {"fisher.md", "harper.md"} <= set(names(retrieved))


async def test_a_decomposed_query_finds_what_the_composed_query_finds(corpus: Corpus) -> None:
    await ingest(corpus, "ofen.md", "Der Ofen wird für Brötchen vorgeheizt.".encode())

    for mode in ("auto", "lexical"):
        retrieved = await retrieve(corpus, "Bro\u0308tchen", mode=mode, rerank=False)
        assert names(retrieved)[0] == "ofen.md"


async def test_diversity_puts_a_different_passage_second(corpus: Corpus) -> None:
    await ingest(corpus, "nearly.md", FILES["bread.md"] + b" It is good.")
    plain = await retrieve(corpus, "bread baked in an oven", 2, rerank=False, dedup=False)
    diverse = await retrieve(corpus, "bread baked in an oven", 2, rerank=False, dedup=False, diversity=0.7)

    assert set(names(plain)) == {"bread.md", "nearly.md"}
    assert names(diverse)[0] == names(plain)[0]
    assert set(names(diverse)) != {"bread.md", "nearly.md"}


async def test_a_filter_reaches_both_searches(corpus: Corpus) -> None:
    page = corpus.views.text_changes("default", "default", 0)
    assert len(page.added_keys) == len(FILES)
    passages = (await retrieve(corpus, "oven", mode="lexical")).passages
    stone = next(passage for passage in passages if passage.filename == "oven.md")
    corpus.store_files.set_attributes("default", "default", stone.file_id, {"kind": "stone", "year": 1990})
    pipeline = RoutedRetrieval(RetrievalPipeline(retrieval_stages(corpus), RetrievalConfig()))

    for mode in ("dense", "lexical", "hybrid"):
        query = RetrievalQuery(
            "oven", Scope("default", ("default",)), 4, Comparison("lt", "year", 2000), RetrievalOptions(mode=mode)
        )
        retrieved = await pipeline.retrieve(query, within(10))

        assert names(retrieved) == ["oven.md"]
        assert retrieved.passages[0].attributes == {"kind": "stone", "year": 1990}


async def test_an_unknown_store_is_an_error_in_every_mode(corpus: Corpus) -> None:
    pipeline = RoutedRetrieval(RetrievalPipeline(retrieval_stages(corpus), RetrievalConfig()))
    for mode in ("auto", "dense", "lexical", "hybrid"):
        query = RetrievalQuery("oven", Scope("default", ("vs_none",)), 4, options=RetrievalOptions(mode=mode))

        with pytest.raises(NotFoundError):
            await pipeline.retrieve(query, within(10))


async def test_passages_without_a_rerank_score_come_last(corpus: Corpus) -> None:
    pipeline = RetrievalPipeline(retrieval_stages(corpus), RetrievalConfig(rerank_candidates=2))
    query = RetrievalQuery("oven heated wood", Scope("default", ("default",)), 4)

    plain = await pipeline.retrieve(replace(query, options=RetrievalOptions(rerank=False)), within(10))
    reranked = await pipeline.retrieve(query, within(10))

    assert set(names(reranked)[:2]) == set(names(plain)[:2])
    assert names(reranked)[2:] == names(plain)[2:]


async def test_top_k_may_exceed_the_configured_candidates(corpus: Corpus) -> None:
    pipeline = RetrievalPipeline(retrieval_stages(corpus), RetrievalConfig(candidates=2))

    for mode in ("dense", "hybrid"):
        query = RetrievalQuery("oven", Scope("default", ("default",)), 4, options=RetrievalOptions(mode=mode))

        assert len((await pipeline.retrieve(query, within(10))).passages) == 4
