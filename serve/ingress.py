"""The HTTP deployment: takes the stages' handles, makes the FastAPI application, and works on ingestion beside it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve.handle import DeploymentHandle

from deployments.calls.inline import InlineHandle, InlineStage
from deployments.dense_searcher import DenseSearcherClient
from deployments.embedder import EmbedderClient
from deployments.generator import GeneratorClient, InlineGenerator
from deployments.lexical_searcher import LexicalSearcherClient
from deployments.parser import ParserClient
from deployments.reranker import RerankerClient
from deployments.telemetry.logs import join_serve_log
from models.catalog import Catalog
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from serve.access.keys import KeyRing
from serve.admission import Admission
from serve.api import (
    chat,
    completions,
    embeddings,
    errors,
    files,
    health,
    models,
    query,
    rerank,
    search,
    store_files,
    vector_stores,
)
from serve.api.services import BackgroundWork, Services
from serve.middleware import MULTIPART_OVERHEAD_BYTES, AdmissionLimit, BodyLimit, JsonByDefault, RequestLog
from serve.pipelines.housekeeping import Housekeeper
from serve.pipelines.ingest import IngestPipeline, IngestWorker
from serve.pipelines.migrate import GenerationBuilder
from serve.pipelines.query import QueryPipeline, QueryStages
from serve.pipelines.retrieve import RetrievalPipeline, RetrievalStages
from serve.settings import Settings

BLOCKING_THREADS = 32
BACKGROUND_PAUSE_S = 5.0
ROUTERS = (
    query,
    chat,
    completions,
    embeddings,
    rerank,
    files,
    vector_stores,
    store_files,
    search,
    models,
    health,
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stages:
    """Every stage: a handle, which Serve fills in where build() put a bound deployment, or what is to be run here."""

    embedder: DeploymentHandle | InlineStage
    dense: list[DeploymentHandle | InlineStage]
    lexical: DeploymentHandle | InlineStage
    reranker: DeploymentHandle | InlineStage
    generator: DeploymentHandle | InlineStage
    parser: DeploymentHandle | InlineStage


@ray_serve.ingress()
class Ingress:
    """One HTTP replica. It holds no state that is not in the corpus."""

    def __init__(self, settings: Settings, catalog: Catalog, stages: Stages) -> None:
        join_serve_log()
        corpus = settings.storage.open()
        shared = settings.coalescing
        inline: list[InlineHandle] = []
        embedder = EmbedderClient(_handle(stages.embedder, inline), "embed", shared)
        dense = DenseSearcherClient([_handle(shard, inline) for shard in stages.dense], shared)
        lexical = LexicalSearcherClient(_handle(stages.lexical, inline), "lexical", shared)
        reranker = RerankerClient(_handle(stages.reranker, inline), "rerank", shared)
        generator = GeneratorClient(_handle(stages.generator, inline), "generate")
        parser = ParserClient(_handle(stages.parser, inline), "parse")
        fallback = InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig()))
        retrieval_stages = RetrievalStages(embedder, dense, lexical, reranker, corpus.views, corpus.generations)
        retrieval = RetrievalPipeline(retrieval_stages, settings.retrieval)
        ingest = IngestPipeline(parser, embedder, corpus, settings.ingest)
        self._services = Services(
            settings=settings,
            catalog=catalog,
            corpus=corpus,
            access=KeyRing(settings.api.keys_file) if settings.api.keys_file else None,
            retrieval=retrieval,
            query=QueryPipeline(QueryStages(retrieval, generator, fallback), settings.query),
            completions=generator,
            embedder=embedder,
            reranker=reranker,
            ingest=IngestWorker(ingest, corpus, settings.ingest),
            background=(
                GenerationBuilder(embedder, corpus, settings.migration),
                Housekeeper(corpus, settings.housekeeping, settings.migration.keep_previous_s),
            ),
            stages={client.stage: client for client in (embedder, dense, lexical, reranker, generator, parser)},
            inline=inline,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services)

    async def check_health(self) -> None:
        """Serve's probe: the database answers, ingestion goes on, and what is inside this process is well."""
        self._services.ingest.check_health()
        await asyncio.gather(*(stage.check_health() for stage in self._services.inline))
        await asyncio.to_thread(self._services.corpus.views.heads, [("", "")])


def _handle(stage: DeploymentHandle | InlineStage, inline: list[InlineHandle]) -> DeploymentHandle | InlineHandle:
    """How the stage is called; one that is to be run here is opened, and added to `inline`."""
    if not isinstance(stage, InlineStage):
        return stage
    inline.append(stage.open())
    return inline[-1]


def create_app(services: Services) -> FastAPI:
    """The application: routes, errors, and middleware in order. Plain FastAPI, so any server runs it."""
    app = FastAPI(
        title="ragserve",
        summary="Cited answers from your documents.",
        responses=errors.RESPONSES,
        lifespan=_lifespan,
    )
    app.state.services = services
    for module in ROUTERS:
        app.include_router(module.router)
    errors.install(app)
    # The last one added is the outermost.
    app.add_middleware(JsonByDefault)
    app.add_middleware(BodyLimit, max_bytes=services.settings.api.max_upload_bytes + MULTIPART_OVERHEAD_BYTES)
    app.add_middleware(AdmissionLimit, admission=Admission(services.settings.admission))
    app.add_middleware(RequestLog)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    # The default pool has a handful of threads, which slow disk writes of ingestion would take from questions.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_THREADS, "blocking"))
    background = (asyncio.create_task(_kept_running(one)) for one in services.background)
    await asyncio.gather(*(stage.start() for stage in services.inline))
    workers = [asyncio.create_task(services.ingest.run()), *background]
    try:
        yield
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        services.corpus.close()


async def _kept_running(work: BackgroundWork) -> None:
    """What fails here fails no request: it is logged, and tried again."""
    while True:
        try:
            await work.run()
        except Exception:
            logger.exception("%s failed", type(work).__name__)
            await asyncio.sleep(BACKGROUND_PAUSE_S)
