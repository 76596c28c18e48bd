"""Reranking by stored token vectors over a real corpus, without Ray: what is scored, by whom, and what fails.

Every word is doubled, so that stored scores equal computed ones even if neighbouring tokens are pooled.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.catalog import Catalog
from models.errors.limits import OverloadedError
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.reranking.query import QueryTokens, SearchedQuery
from models.types.chunks import Chunk, Passage
from models.types.scope import Scope
from serve.live_services import LiveServices
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline, RetrievalStages
from serve.pipelines.retrieving import RetrievalOptions, RetrievalQuery
from serve.pipelines.stored_tokens import StoredTokenReranking
from serve.settings import Settings
from tests.contexts import within
from tests.inline import Failing, InlineDense, InlineEmbedder, InlineLexical, inline_clients, open_corpus
from tests.token_hashing import HashingReranker, TokenHashingModel

TEXTS = ("an oven of stone", "bread from an oven of stone", "a walrus on the ice", "stone and ice")
QUESTION = "bread from the oven of stone"


class Rig:
    """A corpus of hashed words, and a reranking over it."""

    def __init__(self, folder: Path) -> None:
        self.corpus, self.embedder = open_corpus(folder), InlineEmbedder(TokenHashingModel)
        self.dense = InlineDense(self.corpus, folder / "tokens")
        self.reranker = HashingReranker(self.embedder.generation)
        self.reranking = StoredTokenReranking(self.reranker, self.dense, self.reranker)

    async def add(
        self, texts: Sequence[str] = TEXTS, store: str = "default", with_tokens: bool = True, generation: str = ""
    ) -> list[int]:
        """Stores a file with a chunk for each text, and returns their keys."""
        generation = generation or self.embedder.generation
        before = set(self.keys(store, generation))
        file = self.corpus.files.add("default", f"{len(before)}.md", " ".join(texts).encode(), "assistants")
        self.corpus.store_files.attach("default", store, file.file_id)
        chunks = [Chunk(doubled(text), place, place + 1, "", 1) for place, text in enumerate(texts)]
        embedded = await self.embedder.embed_documents([chunk.text for chunk in chunks], within(5), generation, True)
        (job,) = self.corpus.jobs.claim("test", 1, 60)
        codes = {generation: embedded.token_codes} if with_tokens else {}
        self.corpus.jobs.complete(job, "text", chunks, {generation: embedded.vectors}, codes)
        return sorted(set(self.keys(store, generation)) - before)

    def keys(self, store: str, generation: str) -> list[int]:
        return self.corpus.views.vector_changes("default", store, 0, generation).added_keys.tolist()

    def candidates(self, keys: list[int], *stores: str) -> list[Passage]:
        by_key = self.corpus.views.passages(keys, Scope("default", stores or ("default",)))
        return [by_key[key] for key in keys]

    async def query(self, text: str = QUESTION, stores: dict[str, tuple[str, ...]] | None = None) -> SearchedQuery:
        """The query as retrieval passes it on; `stores` by the generation that they are searched in."""
        tokens = []
        for generation, names in (stores or {self.embedder.generation: ("default",)}).items():
            embedded = await self.embedder.embed_query(text, within(5), generation, True)
            assert embedded.query_tokens is not None
            assert embedded.query_spans is not None
            scope = Scope("default", names)
            tokens.append(QueryTokens(generation, scope, embedded.query_tokens, embedded.query_spans))
        return SearchedQuery(text, {"oven": 3.0, "stone": 2.0}, tuple(tokens))


def doubled(text: str) -> str:
    return " ".join(f"{word} {word}" for word in text.split())


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_stored_token_vectors_score_as_the_reranker_would_which_reads_nothing(rig: Rig) -> None:
    candidates = rig.candidates(await rig.add())
    await rig.reranking.refresh()

    stored = await rig.reranking.rerank(await rig.query(), candidates, within(10))

    assert rig.reranker.num_read == 0
    computed = await rig.reranker.rerank(await rig.query(), candidates, within(10))
    assert stored.model == computed.model == "hashing-late"
    np.testing.assert_allclose(stored.scores, computed.scores, atol=0.05)
    assert stored.scores.argmax() == 1


async def test_the_weight_of_retrieval_is_the_rerankers(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.reranker.scoring = replace(rig.reranker.scoring, retrieval_weight=1.0)
    candidates = rig.candidates(await rig.add())
    await rig.reranking.refresh()

    reranked = await rig.reranking.rerank(await rig.query(), candidates, within(10))

    assert np.argsort(-reranked.scores).tolist() == [0, 1, 2, 3]


async def test_until_the_reranker_has_told_its_model_it_does_it_all(rig: Rig) -> None:
    candidates = rig.candidates(await rig.add())

    assert not rig.reranking.reads_tokens(rig.embedder.generation)
    await rig.reranking.rerank(await rig.query(), candidates, within(10))
    first = rig.reranker.num_read
    await rig.reranking.refresh()
    await rig.reranking.rerank(await rig.query(), candidates, within(10))

    assert rig.reranking.reads_tokens(rig.embedder.generation)
    assert not rig.reranking.reads_tokens(rig.embedder.other_generation)
    assert first == rig.reranker.num_read == len(candidates)


async def test_a_cross_encoder_or_a_canary_takes_over_with_the_next_refresh(rig: Rig) -> None:
    candidates = rig.candidates(await rig.add())
    await rig.reranking.refresh()
    rig.reranker.scoring, rig.reranker.model = None, "cross-encoder"

    before = await rig.reranking.rerank(await rig.query(), candidates, within(10))
    await rig.reranking.refresh()
    after = await rig.reranking.rerank(await rig.query(), candidates, within(10))

    assert (before.model, after.model) == ("hashing-late", "cross-encoder")
    assert rig.reranker.num_read == len(candidates)
    assert not rig.reranking.reads_tokens(rig.embedder.generation)


async def test_what_the_reranker_last_told_stays_while_it_does_not_answer(rig: Rig) -> None:
    candidates = rig.candidates(await rig.add())
    await rig.reranking.refresh()
    rig.reranker.error = StageUnavailableError("rerank")

    await rig.reranking.refresh()
    reranked = await rig.reranking.rerank(await rig.query(), candidates, within(10))

    assert reranked.scores.argmax() == 1


async def test_candidates_without_stored_vectors_are_read_by_the_reranker_on_the_same_scale(rig: Rig) -> None:
    keys = await rig.add(with_tokens=False) + await rig.add()
    candidates = rig.candidates(keys)
    await rig.reranking.refresh()

    reranked = await rig.reranking.rerank(await rig.query(), candidates, within(10))

    assert rig.reranker.num_read == len(TEXTS)
    computed = await rig.reranker.rerank(await rig.query(), candidates, within(10))
    np.testing.assert_allclose(reranked.scores, computed.scores, atol=0.05)


async def test_a_store_without_token_vectors_is_reranked_as_before(rig: Rig) -> None:
    candidates = rig.candidates(await rig.add(with_tokens=False))
    await rig.reranking.refresh()

    reranked = await rig.reranking.rerank(await rig.query(), candidates, within(10))

    computed = await rig.reranker.rerank(await rig.query(), candidates, within(10))
    np.testing.assert_array_equal(reranked.scores, computed.scores)


async def test_if_the_reranker_fails_the_candidates_that_it_had_to_read_have_no_score(rig: Rig) -> None:
    keys = await rig.add(with_tokens=False) + await rig.add()
    await rig.reranking.refresh()
    rig.reranker.error = OverloadedError("rerank")

    reranked = await rig.reranking.rerank(await rig.query(), rig.candidates(keys), within(10))

    assert np.isnan(reranked.scores).tolist() == [True] * len(TEXTS) + [False] * len(TEXTS)
    assert reranked.is_partial


async def test_a_model_that_was_replaced_a_moment_ago_reranks_all(rig: Rig) -> None:
    keys = await rig.add(with_tokens=False) + await rig.add()
    await rig.reranking.refresh()
    rig.reranker.model = "cross-encoder"

    reranked = await rig.reranking.rerank(await rig.query(), rig.candidates(keys), within(10))

    assert reranked.model == "cross-encoder"
    assert not reranked.is_partial


@pytest.mark.parametrize("error", [StageUnavailableError("dense"), DeadlineExceededError("dense", 0.1)])
async def test_if_the_dense_searchers_fail_the_reranker_does_it_all(rig: Rig, error: StageUnavailableError) -> None:
    candidates = rig.candidates(await rig.add())
    reranking = StoredTokenReranking(rig.reranker, Failing(error), rig.reranker)
    await reranking.refresh()

    reranked = await reranking.rerank(await rig.query(), candidates, within(10))

    assert rig.reranker.num_read == len(candidates)
    assert reranked.scores.argmax() == 1


async def test_a_candidate_that_is_deleted_during_its_query_costs_no_pass_of_the_model(rig: Rig) -> None:
    candidates = rig.candidates(await rig.add())
    await rig.reranking.refresh()
    await rig.reranking.rerank(await rig.query(), candidates, within(10))
    rig.corpus.store_files.detach("default", "default", candidates[0].file_id)

    await rig.reranking.rerank(await rig.query(), candidates, within(10))

    assert rig.reranker.num_read == 0


async def test_several_stores_are_scored_at_once(rig: Rig) -> None:
    second = rig.corpus.vector_stores.create("default", "second").vector_store_id
    keys = [*await rig.add(), *await rig.add(TEXTS[::-1], store=second)]
    await rig.reranking.refresh()
    query = await rig.query(stores={rig.embedder.generation: ("default", second)})

    reranked = await rig.reranking.rerank(query, rig.candidates(keys, "default", second), within(10))

    assert rig.reranker.num_read == 0
    np.testing.assert_allclose(reranked.scores[:4], reranked.scores[:3:-1], atol=0.05)


async def test_only_the_stores_in_the_models_own_generation_are_scored_by_stored_vectors(rig: Rig) -> None:
    second = rig.corpus.vector_stores.create("default", "second").vector_store_id
    other = rig.embedder.other_generation
    keys = [*await rig.add(), *await rig.add(store=second, generation=other)]
    await rig.reranking.refresh()
    query = await rig.query(stores={rig.embedder.generation: ("default",), other: (second,)})

    reranked = await rig.reranking.rerank(query, rig.candidates(keys, "default", second), within(10))

    assert rig.reranker.num_read == len(TEXTS)
    np.testing.assert_allclose(reranked.scores[:4], reranked.scores[4:], atol=0.05)


async def test_retrieval_passes_the_querys_token_vectors_on(rig: Rig) -> None:
    await rig.add()
    await rig.reranking.refresh()
    views, generations = rig.corpus.views, rig.corpus.generations
    stages = RetrievalStages(rig.embedder, rig.dense, InlineLexical(rig.corpus), rig.reranking, views, generations)
    query = RetrievalQuery(QUESTION, Scope("default", ("default",)), 2, options=RetrievalOptions(mode="hybrid"))

    retrieved = await RetrievalPipeline(stages, RetrievalConfig()).retrieve(query, within(10))

    assert rig.reranker.num_read == 0
    assert retrieved.passages[0].text == doubled(TEXTS[1])
    assert retrieved.trace.models["rerank"] == "hashing-late"


async def test_the_switch_takes_effect_with_the_next_request(rig: Rig) -> None:
    await rig.add()
    statuses = {"embed": rig.embedder, "rerank": rig.reranker}
    parts = {"embedder": rig.embedder, "dense": rig.dense, "reranker": rig.reranker, "statuses": statuses}
    live = LiveServices(Settings(), Catalog.open(), rig.corpus, replace(inline_clients(rig.corpus), **parts))
    await live._stored_tokens.refresh()
    query = RetrievalQuery(QUESTION, Scope("default", ("default",)), 2, options=RetrievalOptions(mode="hybrid"))

    await live.current.retrieval.retrieve(query, within(10))
    with_stored = rig.reranker.num_read
    live.configure({"retrieval": {"stored_token_vectors": False}})
    await live.current.retrieval.retrieve(query, within(10))

    assert (with_stored, rig.reranker.num_read) == (0, len(TEXTS))
