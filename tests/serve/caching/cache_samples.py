"""Shared by the tests of the caches: stages whose status a test sets, and the paths over a small corpus."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import redis

from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.corpus.views import SearchedStore
from models.errors.base import RagError
from models.reranking.query import SearchedQuery
from models.stage_status import StageStatus
from models.types.chunks import Passage
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from models.types.scope import Scope
from models.types.stage_results import Reranking
from serve.caching.answers import STAGES
from serve.caching.caches import Caches
from serve.caching.serving import SETTLE_S
from serve.clients import Clients
from serve.live_services import LiveServices
from serve.pipelines.answering import Answered, Answering, Event, Query
from serve.settings import Settings
from tests.contexts import within
from tests.inline import ExtractiveGenerator, ShortestFirst, inline_clients

MODELS = {"dense": "", "lexical": "", "rerank": "shortest-first", "generate": "extractive"}


@dataclass
class Reporting:
    """A stage's status, which a test sets; an error is raised. Counts its calls."""

    reported: StageStatus | RagError
    num_calls: int = 0

    async def status(self, context: RequestContext) -> StageStatus:
        self.num_calls += 1
        if isinstance(self.reported, RagError):
            raise self.reported
        return self.reported


class Unresponsive:
    """A stage whose status never comes."""

    def __init__(self) -> None:
        self.num_calls = 0

    async def status(self, context: RequestContext) -> StageStatus:
        self.num_calls += 1
        await asyncio.Event().wait()
        return StageStatus()


def reporting_stages(**models: str) -> dict[str, Reporting]:
    """A status for each stage that an answer depends on."""
    return {stage: Reporting(StageStatus(model)) for stage, model in (MODELS | models).items()}


class CountedGenerator(ExtractiveGenerator):
    """Quotes passages, and counts its answers. `model` names it in them."""

    def __init__(self, model: str = "extractive") -> None:
        super().__init__()
        self.model, self.num_answers = model, 0

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        self.num_answers += 1
        async for delta in super().stream(request, context):
            yield replace(delta, model=self.model)


class NamedReranker(ShortestFirst):
    """Ranks the shortest passage first, or the longest under any other name."""

    model = MODELS["rerank"]

    def swap(self, model: str) -> str:
        """Answer as `model` from now on, and return its name."""
        self.model = model
        return model

    async def rerank(self, query: SearchedQuery, candidates: list[Passage], context: RequestContext) -> Reranking:
        reranking = await super().rerank(query, candidates, context)
        if self.model == reranking.model:
            return reranking
        return Reranking(-reranking.scores, self.model)


class SteadyStores:
    """Stores that never change."""

    def searched_state(self, scope: Scope) -> tuple[SearchedStore, ...]:
        return tuple(SearchedStore(store_id, "log", 1, "tiny@1") for store_id in scope.vector_store_ids)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class CachedService:
    """The application over a corpus, with all that a test may change."""

    corpus: Corpus
    settings: Settings = field(default_factory=Settings)
    stages: dict[str, Reporting] = field(default_factory=reporting_stages)
    generator: CountedGenerator = field(default_factory=CountedGenerator)
    reranker: NamedReranker = field(default_factory=NamedReranker)

    def __post_init__(self) -> None:
        clients: Clients = replace(
            inline_clients(self.corpus),
            generator=self.generator,
            reranker=self.reranker,
            quoting=lambda alias: None,  # the generator counts every answer
            statuses=dict(self.stages),
        )
        self.live = LiveServices(self.settings, Catalog.open(None), self.corpus, clients)
        self.clock = self.caches.serving._clock = Clock()

    @property
    def caches(self) -> Caches:
        return self.live._caches

    async def events(self, query: Query, context: RequestContext | None = None) -> list[Event]:
        return await events_of(self.live.current.query, query, context)

    async def answer(self, query: Query, context: RequestContext | None = None) -> Answered:
        answered = (await self.events(query, context))[-1]
        assert isinstance(answered, Answered)
        return answered

    async def close(self) -> None:
        """Close the connections of the caches, as the end of the application does."""
        running = asyncio.create_task(self.caches.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def read_statuses(self) -> None:
        """Read every status, as a caller of /readyz does."""
        for source in self.live.current.stages.values():
            await source.status(within(10))

    async def settle(self) -> None:
        """Let a change of the stages become known, and the time pass until it counts."""
        await self.read_statuses()
        self.clock.now += SETTLE_S


async def events_of(answering: Answering, query: Query, context: RequestContext | None = None) -> list[Event]:
    return [event async for event in answering.answer(query, context or within(60))]


def untraced(events: list[Event]) -> list[Event]:
    """The events without times: equal for equal answers."""
    return [replace(event, trace=None) if isinstance(event, Answered) else event for event in events]


@dataclass
class RedisServer:
    """A real server of its own, with nothing on disk."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        self.process = _start(self.port, self.folder)


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A running server. Skips the test if none is installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("no Redis server is installed (Debian's package redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = RedisServer(port, folder, _start(port, folder))
    try:
        yield server
    finally:
        server.kill()


def _start(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    # Waits for the server without a sleep: each failed connection is retried by the client.
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
    with redis.Redis(port=port, retry=retry, retry_on_error=[redis.ConnectionError]) as client:
        client.ping()
    return process


assert set(MODELS) == set(STAGES)
