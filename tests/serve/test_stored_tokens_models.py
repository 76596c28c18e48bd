"""Reranking by stored token vectors with the default models, over the paragraphs of this project's own pages."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from deployments.calls.inline import InlineHandle
from deployments.embedder import Embedder, EmbedderClient
from deployments.reranker import Reranker, RerankerClient
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.generation.reading import sentences
from models.index.token_search import TokenScoreRequest
from models.reranking.late_interaction import token_weights
from models.reranking.query import QueryTokens, SearchedQuery
from models.types.chunks import Chunk, Passage
from models.types.scope import Scope
from serve.pipelines.sentence_scores import sentence_scores
from serve.pipelines.stored_tokens import StoredTokenReranking
from tests.conftest import ROOT
from tests.contexts import within
from tests.inline import InlineDense, open_corpus

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SCOPE, NUM_PARAGRAPHS, BUDGET_S = Scope("default", ("default",)), 40, 300.0
QUESTIONS = (
    "How do I restore a backup into an empty folder?",
    "What happens to the deployed models while a backup is written?",
    "Which embedding model needs no model hub?",
    "How is a reranker swapped without a restart?",
    "Can I try a second model on a fraction of the requests?",
    "How many bytes does a chunk take?",
)


@dataclass(frozen=True)
class Rig:
    embedder: EmbedderClient
    replica: Reranker
    computing: RerankerClient
    stored: StoredTokenReranking
    dense: InlineDense
    candidates: list[Passage]
    corpus: Corpus

    async def add(self, text: str, with_tokens: bool = True) -> Passage:
        """Stores a chunk under a heading, and returns its passage."""
        file = self.corpus.files.add("default", "more.md", text.encode(), "assistants")
        self.corpus.store_files.attach("default", "default", file.file_id)
        (job,) = self.corpus.jobs.claim("test", 1, 60)
        chunk = Chunk(text, 0, len(text), "Guide > Travel", 1)
        embedded = await self.embedder.embed_documents([chunk.indexed_text], within(BUDGET_S), None, with_tokens)
        codes = {embedded.generation: embedded.token_codes} if with_tokens else {}
        self.corpus.jobs.complete(job, text, [chunk], {embedded.generation: embedded.vectors}, codes)
        keys = self.corpus.views.vector_changes("default", "default", 0, embedded.generation).added_keys
        return self.corpus.views.passages(keys[-1:], SCOPE)[int(keys[-1])]

    async def searched(self, question: str) -> SearchedQuery:
        embedded = await self.embedder.embed_query(question, within(BUDGET_S), None, True)
        assert embedded.query_tokens is not None
        assert embedded.query_spans is not None
        tokens = QueryTokens(embedded.generation, SCOPE, embedded.query_tokens, embedded.query_spans)
        return SearchedQuery(question, {"backup": 4.0, "the": 0.5, "model": 2.0}, (tokens,))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder, catalog = tmp_path_factory.mktemp("stored"), Catalog.open()
    embedding, reranking = InlineHandle(Embedder(catalog), {}), InlineHandle(Reranker(catalog), {})
    await embedding.start()
    await reranking.start()
    embedder, reranker, corpus = (
        EmbedderClient(embedding, "embed"),
        RerankerClient(reranking, "rerank"),
        open_corpus(folder),
    )
    texts = paragraphs(ROOT / "docs" / "backup.md", ROOT / "docs" / "models.md")
    file = corpus.files.add("default", "pages.md", b"pages", "assistants")
    corpus.store_files.attach("default", "default", file.file_id)
    (job,) = corpus.jobs.claim("test", 1, 60)
    embedded = await embedder.embed_documents(texts, within(BUDGET_S), None, True)
    chunks = [Chunk(text, place, place + 1, "", 1) for place, text in enumerate(texts)]
    vectors, codes = {embedded.generation: embedded.vectors}, {embedded.generation: embedded.token_codes}
    corpus.jobs.complete(job, "pages", chunks, vectors, codes)
    keys = corpus.views.vector_changes("default", "default", 0, embedded.generation).added_keys
    by_key = corpus.views.passages(keys, SCOPE)
    dense = InlineDense(corpus, folder / "tokens")
    stored = StoredTokenReranking(reranker, dense, reranker)
    await stored.refresh()
    yield Rig(embedder, reranking.replica, reranker, stored, dense, [by_key[key] for key in keys.tolist()], corpus)
    corpus.close()


def paragraphs(*pages: Path) -> list[str]:
    """The longest paragraphs of the pages, in order."""
    texts = [text for page in pages for text in page.read_text().split("\n\n") if "|" not in text and "```" not in text]
    return sorted(sorted(texts, key=len)[-NUM_PARAGRAPHS:], key=texts.index)


async def test_the_ranking_is_that_of_the_reranker(rig: Rig) -> None:
    regrets, shared_of_five, differences = list[float](), list[int](), list[float]()
    for question in QUESTIONS:
        query = await rig.searched(question)
        stored = await rig.stored.rerank(query, rig.candidates, within(BUDGET_S))
        computed = await rig.computing.rerank(query, rig.candidates, within(BUDGET_S))

        assert stored.model == computed.model == "late-interaction"
        best, expected = (np.argsort(-reranking.scores)[:5].tolist() for reranking in (stored, computed))
        regrets.append(float(computed.scores[expected[0]] - computed.scores[best[0]]))
        shared_of_five.append(len(set(best) & set(expected)))
        differences.append(float(np.abs(stored.scores - computed.scores).max()))

    assert max(regrets) < 0.05  # the first one is as good: a sentence more on a page decides between near ties
    assert np.mean(shared_of_five) >= 4
    assert np.median(differences) < 0.15  # of 1, after scaling


async def test_the_reranker_makes_no_forward_pass(rig: Rig) -> None:
    num_passes = rig.replica._batcher.counts.num_passes

    await rig.stored.rerank(await rig.searched("Where is the truth stored?"), rig.candidates, within(BUDGET_S))

    assert rig.replica._batcher.counts.num_passes == num_passes


async def test_candidates_without_stored_vectors_get_the_score_that_they_would_have_with_them(rig: Rig) -> None:
    query = await rig.searched(QUESTIONS[0])
    (tokens,) = query.tokens
    keys = np.array([candidate.key for candidate in rig.candidates], np.int64)
    weights = token_weights(query.text, tokens.spans, query.term_weights)

    stored = await rig.dense.score_tokens(
        TokenScoreRequest(tokens.vectors, weights, keys, tokens.generation, SCOPE), within(BUDGET_S)
    )
    computed = await rig.computing.score_as_stored(query, rig.candidates, within(BUDGET_S))

    np.testing.assert_allclose(stored, computed.scores, atol=0.02)


async def test_the_sentence_that_answers_has_the_best_score_though_it_shares_no_word(rig: Rig) -> None:
    searched = await rig.searched("At what hour do trains leave?")
    passage = await rig.add("# Old line\n\nThe museum has a cafe. The railway departs at nine. Cats like fish.")

    (scores,) = await sentence_scores(rig.dense, searched.tokens, [passage], within(BUDGET_S))

    units = [sentence.text for sentence in sentences(passage.text)]
    assert len(scores) == len(units)
    assert units[int(np.argmax(scores))] == "The railway departs at nine."


async def test_sentences_of_chunks_without_stored_vectors_are_unknown(rig: Rig) -> None:
    searched = await rig.searched("At what hour do trains leave?")
    passage = await rig.add("The railway departs at noon.", with_tokens=False)

    assert await sentence_scores(rig.dense, searched.tokens, [passage], within(BUDGET_S)) == ()
