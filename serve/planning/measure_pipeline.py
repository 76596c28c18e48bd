"""What the ingress itself computes for a query: the query path, over stages whose answers are ready."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import numpy as np

from models.encoding import TextInput
from models.index.follow import DenseRequest, LexicalRequest
from models.types import (
    ChatMessage,
    Deadline,
    Embeddings,
    GenerationDelta,
    GenerationRequest,
    LexicalRanking,
    Passage,
    Ranking,
    Relevance,
    Reranking,
    StageStatus,
)
from serve.benchmarks.search import SCOPE
from serve.pipelines.query import Query, QueryPipeline, QueryStages
from serve.pipelines.retrieve import RetrievalOptions, RetrievalPipeline, RetrievalStages
from serve.planning.measure_search import Stored
from serve.planning.texts import Texts
from serve.settings import Settings

NUM_QUERIES = 40
TOP_K = 5
ANSWER = "The index is built in the background [1]. Searches move over in one step [2]."
READY = "ready"


class ReadyStage:
    """Answers at once."""

    async def status(self, deadline: Deadline) -> StageStatus:
        return StageStatus(READY)


class ReadyEmbedder(ReadyStage):
    def __init__(self, dim: int) -> None:
        self._dim = dim

    async def embed_query(self, text: str, deadline: Deadline, generation: str | None = None) -> Embeddings:
        return await self.embed_documents([text], deadline, generation)

    async def embed_documents(self, texts: list[str], deadline: Deadline, generation: str | None = None) -> Embeddings:
        return Embeddings(np.zeros((len(texts), self._dim), np.float32), generation or READY, READY)

    async def embed_inputs(
        self, inputs: Sequence[TextInput], as_queries: bool, dimensions: int | None, deadline: Deadline
    ) -> Embeddings:
        return Embeddings(np.zeros((len(inputs), self._dim), np.float32), READY, READY)


class ReadySearch:
    """Chunks at random, others each time."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._chance = size, np.random.default_rng(seed)

    def ranking(self, k: int) -> Ranking:
        keys = self._chance.choice(self._size, min(k, self._size), replace=False) + 1
        return Ranking(keys.astype(np.int64), np.linspace(1, 0, len(keys), dtype=np.float32))


class ReadyDense(ReadyStage):
    def __init__(self, size: int) -> None:
        self._search = ReadySearch(size, seed=0)

    async def search(self, request: DenseRequest, deadline: Deadline) -> Ranking:
        return self._search.ranking(request.k)


class ReadyLexical(ReadyStage):
    def __init__(self, size: int) -> None:
        self._search = ReadySearch(size, seed=1)

    async def search(self, request: LexicalRequest, deadline: Deadline) -> LexicalRanking:
        return LexicalRanking(self._search.ranking(request.k), {})


class ReadyReranker(ReadyStage):
    async def rerank(
        self, query: str, candidates: list[Passage], term_weights: dict[str, float], deadline: Deadline
    ) -> Reranking:
        return Reranking(np.linspace(1, 0, len(candidates), dtype=np.float32), READY)

    async def score(self, query: str, texts: Sequence[str], deadline: Deadline) -> Relevance:
        scores = np.linspace(1, 0, len(texts), dtype=np.float32)
        return Relevance(scores, scores, READY, 0)


class ReadyGenerator:
    async def stream(self, request: GenerationRequest, deadline: Deadline) -> AsyncGenerator[GenerationDelta, None]:
        yield GenerationDelta(ANSWER, model=READY)
        yield GenerationDelta("", "stop", 1, 1, READY)


async def pipeline_seconds(settings: Settings, stored: Stored, texts: Texts) -> float:
    """CPU seconds of a query: fusing, reading passages, leaving out duplicates, checking citations."""
    corpus, size = stored.corpus, stored.size
    stages = RetrievalStages(
        ReadyEmbedder(stored.dim),
        ReadyDense(size),
        ReadyLexical(size),
        ReadyReranker(),
        corpus.views,
        corpus.generations,
    )
    retrieval = RetrievalPipeline(stages, settings.retrieval)
    pipeline = QueryPipeline(QueryStages(retrieval, ReadyGenerator(), ReadyGenerator()), settings.query)
    start = 0.0
    for number in range(-NUM_QUERIES // 4, NUM_QUERIES):
        start = time.process_time() if number == 0 else start
        await _ask(pipeline, texts.questions(1)[0], number)
    return (time.process_time() - start) / NUM_QUERIES


async def _ask(pipeline: QueryPipeline, question: str, number: int) -> None:
    message = (ChatMessage("user", question),)
    query = Query(f"plan-{number}", message, SCOPE, TOP_K, options=RetrievalOptions(mode="hybrid"))
    async with aclosing(pipeline.answer(query)) as events:
        async for _ in events:
            pass
