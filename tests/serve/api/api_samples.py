"""The whole HTTP application without Ray: real routes, corpus, indexes and ingestion in this process."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
from fastapi import FastAPI

from deployments.replica.storage import StorageConfig
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.errors.limits import OverloadedError
from models.types.generation import CompletionRequest
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings, Relevance
from serve.access.credentials import Access
from serve.access.keys import KeyRing
from serve.access.stored_keys import StoredKeys
from serve.api.services import Services
from serve.http_app import create_app
from serve.pipelines.ingest import IngestConfig, IngestPipeline
from serve.pipelines.ingest_worker import IngestWorker
from serve.pipelines.query import QueryConfig, QueryPipeline
from serve.pipelines.semantic_parsing import SemanticParsing
from serve.pipelines.shown_retrieval import ShownRetrieval
from serve.settings import ApiConfig, Settings
from tests.inline import InlineCompletions, InlineEmbedder, InlineParser, ShortestFirst, inline_stages
from tests.patience import PATIENCE_S

URL = "http://ragserve"
INGEST = IngestConfig(poll_s=0.05, retry_s=0.05)
MAX_UPLOAD_BYTES = 4096


class Clock:
    """The corpus' clock, which a test can move ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass(frozen=True)
class Running:
    """A running application: its corpus, and its clients."""

    app: FastAPI
    corpus: Corpus

    def replace(self, **services: Any) -> None:
        """Replace services by name; `api` replaces `settings.api`."""
        current: Services = self.app.state.services
        if "api" in services:
            services["settings"] = current.settings.model_copy(update={"api": services.pop("api")})
        self.app.state.services = replace(current, **services)

    def openai_client(self, key: str) -> openai.AsyncOpenAI:
        """OpenAI's client, with only its address and key set."""
        transport = httpx2.ASGITransport(app=self.app)
        http_client = openai.DefaultAsyncHttpxClient(transport=transport)
        return openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, http_client=http_client, max_retries=0)

    def http(self, key: str | None = None) -> httpx.AsyncClient:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=URL, headers=headers)


def application(folder: Path, clock: Clock, keys_file: Path | None = None, keep_versions: int = 0) -> Running:
    """Build the application. It ingests from the start of its lifespan."""
    storage = StorageConfig(keep_file_versions=keep_versions)
    url = f"sqlite:///{folder / 'corpus.db'}"
    corpus = Corpus.open(url, folder / "files", clock, keep_file_versions=keep_versions)
    stages, embedder, reranker = inline_stages(corpus), InlineEmbedder(), ShortestFirst()
    stages = replace(stages, retrieval=ShownRetrieval(stages.retrieval, corpus.views))
    parser, generator = SemanticParsing(InlineParser(), InlineEmbedder()), InlineCompletions()
    services = Services(
        settings=Settings(storage=storage, api=ApiConfig(max_upload_bytes=MAX_UPLOAD_BYTES, keys_file=keys_file)),
        catalog=Catalog.open(None),
        corpus=corpus,
        retrieval=stages.retrieval,
        query=QueryPipeline(stages, QueryConfig()),
        completions=generator,
        embedder=embedder,
        reranker=reranker,
        ingest=IngestWorker(IngestPipeline(parser, InlineEmbedder(), corpus, INGEST), corpus, INGEST),
        background=(),
        stages={"embed": embedder, "rerank": reranker, "generate": generator},
        access=None if keys_file is None else Access([KeyRing(keys_file), StoredKeys(corpus.api_keys)]),
    )
    return Running(create_app(services), corpus)


@asynccontextmanager
async def running(
    folder: Path, clock: Clock, keys_file: Path | None = None, keep_versions: int = 0
) -> AsyncIterator[Running]:
    started = application(folder, clock, keys_file, keep_versions)
    async with started.app.router.lifespan_context(started.app):
        yield started


async def ingest_file(client: openai.AsyncOpenAI, name: str, content: bytes, store: str, **attach: Any) -> str:
    """Upload a file, wait until the store can search it, and return its id."""
    uploaded = await client.files.create(file=(name, content), purpose="assistants")
    attached = await client.vector_stores.files.create_and_poll(
        uploaded.id, vector_store_id=store, poll_interval_ms=10, **attach
    )
    assert attached.status == "completed", attached.last_error
    return uploaded.id


def error_of(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and param of an error response."""
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


class Hanging:
    """A stage that never answers, and reports when it is called and when it is cancelled."""

    def __init__(self) -> None:
        self.called, self.cancelled = asyncio.Event(), asyncio.Event()

    async def embed_inputs(self, *_: object) -> Embeddings:
        await self._hang()
        raise AssertionError("unreachable")

    async def score(self, *_: object) -> Relevance:
        await self._hang()
        raise AssertionError("unreachable")

    async def _hang(self) -> None:
        self.called.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


async def disconnect_once(called: asyncio.Event, app: FastAPI, path: str, body: dict[str, Any]) -> int:
    """Send `body`, disconnect as soon as `called` is set, and return the status of the unread response."""
    pending = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        if pending:
            return pending.pop()
        await called.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    async with asyncio.timeout(PATIENCE_S):
        await app(scope | {"headers": [(b"content-type", b"application/json")]}, receive, send)
    return statuses[0]


class Parrot:
    """A CompletionStage that repeats the last message, one word a chunk. The word `four` overloads it."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def complete(
        self, request: CompletionRequest, context: RequestContext
    ) -> AsyncGenerator[dict[str, Any], None]:
        self.bodies.append(request.body)
        text = request.body["prompt"] if request.kind == "completion" else request.body["messages"][-1]["content"]
        if not request.body.get("stream"):
            yield self._object("chat.completion", {"message": {"role": "assistant", "content": text}})
            return
        for word in text.split():
            if word == "four":
                raise OverloadedError("generate")
            yield self._object("chat.completion.chunk", {"delta": {"content": word}})

    def _object(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        choice = {"index": 0, "finish_reason": "stop", **choice}
        return {"id": "parrot-1", "object": kind, "created": 1, "model": "parrot", "choices": [choice]}
