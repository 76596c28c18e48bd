"""A changed embedding model, without Ray: the next generation is built, flipped to, and back. No file is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from models.corpus.corpus import Corpus
from models.errors.limits import OverloadedError
from models.errors.requests import ConflictError
from models.index.exact import ExactIndex
from models.index.follow import DenseRequest, DenseSearch
from models.types.ranking import Ranking
from models.types.request_context import RequestContext
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope
from models.types.stage_results import Embeddings
from serve.pipelines.ingest import IngestConfig, IngestPipeline
from serve.pipelines.migrate import GenerationBuilder, MigrationConfig
from serve.pipelines.retrieve import RetrievalConfig, RetrievalPipeline
from serve.pipelines.retrieving import RetrievalOptions, RetrievalQuery
from tests.contexts import within
from tests.inline import InlineDense, InlineEmbedder, InlineParser, open_corpus, retrieval_stages
from tests.patience import PATIENCE_S
from tests.token_hashing import TokenHashingModel

CONFIG = MigrationConfig(chunks_per_step=4, duty=1, poll_s=0.01)
SCOPE = Scope(DEFAULT_TENANT, (DEFAULT_VECTOR_STORE,))
DENSE = RetrievalOptions(mode="dense", rerank=False, dedup=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return open_corpus(tmp_path)


def text_of(number: int) -> str:
    """Words of file `number` alone: enough to outweigh two that share a hash."""
    words = ("walrus", "island", "clam", "whisker", "floe", "tusk", "dive", "herd")
    return " ".join(f"{word}{number}" for word in words)


async def add(corpus: Corpus, embedder: InlineEmbedder, number: int) -> str:
    """Uploads and ingests a file with words that no other file has."""
    file = corpus.files.add(DEFAULT_TENANT, f"{number}.md", text_of(number).encode())
    corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
    pipeline = IngestPipeline(InlineParser(), embedder, corpus, IngestConfig())
    for job in corpus.jobs.claim("test", 10, 60):
        await pipeline.ingest(job)
    return file.file_id


class Searching:
    """Searches the vector store in its present generation, by a file's own words."""

    def __init__(self, corpus: Corpus, embedder: InlineEmbedder, dense: InlineDense | None = None) -> None:
        stages = retrieval_stages(corpus)
        fields = vars(stages) | {"embedder": embedder, "dense": dense or stages.dense}
        self._pipeline = RetrievalPipeline(type(stages)(**fields), RetrievalConfig())

    async def first(self, number: int) -> str:
        """The name of the first file in the result."""
        query = RetrievalQuery(text_of(number), SCOPE, 3, options=DENSE)
        return (await self._pipeline.retrieve(query, within(10))).passages[0].filename


@asynccontextmanager
async def building(corpus: Corpus, embedder: InlineEmbedder) -> AsyncIterator[None]:
    task = asyncio.create_task(GenerationBuilder(embedder, corpus, CONFIG).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def generation(corpus: Corpus) -> str | None:
    return corpus.vector_stores.get(DEFAULT_TENANT, DEFAULT_VECTOR_STORE).generation


async def until(condition: Callable[[], bool], limit_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110, the condition is in the database
            await asyncio.sleep(0.01)


async def test_the_next_generation_is_built_and_flipped_to(corpus: Corpus) -> None:
    embedder = InlineEmbedder()
    for number in range(10):
        await add(corpus, embedder, number)
    old, embedder.generation = embedder.generation, embedder.other_generation
    assert generation(corpus) == old

    async with building(corpus, embedder):
        await until(lambda: generation(corpus) == embedder.other_generation)

    search = Searching(corpus, embedder)
    assert [await search.first(number) for number in range(10)] == [f"{number}.md" for number in range(10)]
    assert corpus.generations.progress(DEFAULT_TENANT, DEFAULT_VECTOR_STORE) is None


async def test_nothing_fails_or_is_lost_while_it_flips_there_and_back(corpus: Corpus) -> None:
    """Searches and ingestion continue while the model changes three times."""
    embedder = InlineEmbedder()
    dense = GenerationChecking(corpus)
    search, added = Searching(corpus, embedder, dense), 30
    for number in range(added):
        await add(corpus, embedder, number)
    stop, num_searches = asyncio.Event(), 0

    async def search_all() -> None:
        nonlocal num_searches
        while not stop.is_set():
            number = num_searches % added
            assert await search.first(number) == f"{number}.md"
            num_searches += 1

    async def keep_adding() -> None:
        nonlocal added
        while not stop.is_set():
            await add(corpus, embedder, added)
            added += 1

    async with building(corpus, embedder):
        tasks = [asyncio.create_task(search_all()), asyncio.create_task(keep_adding())]
        for _ in range(3):
            embedder.generation, embedder.other_generation = embedder.other_generation, embedder.generation
            await until(lambda: generation(corpus) == embedder.generation)
        stop.set()
        await asyncio.gather(*tasks)

    assert [await search.first(number) for number in range(added)] == [f"{number}.md" for number in range(added)]
    assert num_searches > 3
    assert dense.dims_searched == {256, 512}


class GenerationChecking(InlineDense):
    """Records the searched generations, and checks that a query's vector has its generation's dimensions."""

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(corpus)
        self.dims_searched: set[int] = set()

    async def search(self, request: DenseRequest, context: RequestContext) -> Ranking:
        assert request.generation == f"hashing@{len(request.vector)}"
        self.dims_searched.add(len(request.vector))
        return await super().search(request, context)


async def test_going_back_embeds_only_what_came_since(corpus: Corpus) -> None:
    embedder = CountingEmbedder()
    for number in range(8):
        await add(corpus, embedder, number)
    first, second = embedder.generation, embedder.other_generation
    async with building(corpus, embedder):
        embedder.generation = second
        await until(lambda: generation(corpus) == second)
        await add(corpus, embedder, 8)
        embedder.counts.clear()
        embedder.generation = first
        await until(lambda: generation(corpus) == first)

    assert embedder.counts == {first: 1}


class CountingEmbedder(InlineEmbedder):
    """Counts the embedded documents of each generation."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        embedded = await super().embed_documents(texts, context, generation, with_tokens)
        self.counts[embedded.generation] = self.counts.get(embedded.generation, 0) + len(texts)
        return embedded


async def test_a_build_goes_on_where_another_worker_died(corpus: Corpus) -> None:
    embedder = CountingEmbedder()
    for number in range(6):
        await add(corpus, embedder, number)
    target = embedder.other_generation
    dead = corpus.generations.claim("dead", target, lease_s=0)
    assert dead is not None
    pending = corpus.generations.pending(dead, 4)
    vectors = (await embedder.embed_documents([chunk.text for chunk in pending], within(5), target)).vectors
    corpus.generations.add(dead, pending, vectors)
    embedder.counts.clear()
    embedder.generation = target

    async with building(corpus, embedder):
        await until(lambda: generation(corpus) == target)

    assert embedder.counts == {target: 2}
    with pytest.raises(ConflictError):
        corpus.generations.add(dead, pending, vectors)


async def test_an_overloaded_embedder_only_delays_the_build(corpus: Corpus) -> None:
    embedder = OverloadedAtFirst()
    for number in range(3):
        await add(corpus, embedder, number)
    embedder.generation, embedder.num_refusals = embedder.other_generation, 3

    async with building(corpus, embedder):
        await until(lambda: generation(corpus) == embedder.other_generation)

    assert embedder.num_refusals == 0


class OverloadedAtFirst(InlineEmbedder):
    num_refusals = 0

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        if self.num_refusals:
            self.num_refusals -= 1
            raise OverloadedError("embed")
        return await super().embed_documents(texts, context, generation, with_tokens)


async def test_an_abandoned_build_keeps_the_searched_generation(corpus: Corpus) -> None:
    embedder = InlineEmbedder()
    await add(corpus, embedder, 0)
    old, other = embedder.generation, embedder.other_generation
    assert corpus.generations.claim("a", other, lease_s=0) is not None
    assert corpus.generations.required(DEFAULT_TENANT, DEFAULT_VECTOR_STORE) == (old, other)

    assert corpus.generations.claim("a", old, lease_s=60) is None

    assert corpus.generations.required(DEFAULT_TENANT, DEFAULT_VECTOR_STORE) == (old,)


async def test_old_generations_are_retired_and_the_previous_one_is_kept_for_a_while(corpus: Corpus) -> None:
    embedder = InlineEmbedder()
    for number in range(5):
        await add(corpus, embedder, number)
    old, embedder.generation = embedder.generation, embedder.other_generation
    async with building(corpus, embedder):
        await until(lambda: generation(corpus) != old)

    assert corpus.generations.retire(keep_s=3600) == 0
    assert corpus.generations.retire(keep_s=0) == 5

    changes = corpus.views.vector_changes(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, 0, old)
    assert len(changes.added_keys) == 0
    assert await Searching(corpus, embedder).first(3) == "3.md"


async def test_a_generation_that_was_retired_and_built_again_is_found_once(corpus: Corpus) -> None:
    embedder = InlineEmbedder()
    for number in range(5):
        await add(corpus, embedder, number)
    dense = DenseSearch(corpus.views, ExactIndex)
    first, second = embedder.generation, embedder.other_generation
    query = DenseRequest(np.ones(512, np.float32), first, SCOPE, 10)
    before = dense.search([query])[0]
    async with building(corpus, embedder):
        embedder.generation = second
        await until(lambda: generation(corpus) == second)
        corpus.generations.retire(keep_s=0)
        embedder.generation = first
        await until(lambda: generation(corpus) == first)

    after = dense.search([query])[0]

    assert sorted(after.keys.tolist()) == sorted(before.keys.tolist())


async def test_the_next_generation_gets_its_own_token_vectors(corpus: Corpus) -> None:
    embedder = InlineEmbedder(TokenHashingModel)
    for number in range(6):
        await add(corpus, embedder, number)
    old, embedder.generation = embedder.generation, embedder.other_generation

    async with building(corpus, embedder):
        await until(lambda: generation(corpus) == embedder.other_generation)

    before, after = (
        corpus.views.token_changes(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, 0, name) for name in (old, embedder.generation)
    )
    assert sorted(after.added_keys) == sorted(before.added_keys)
    assert max(map(len, after.codes)) < min(map(len, before.codes))  # half of the dimensions
