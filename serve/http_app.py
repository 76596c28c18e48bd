"""The HTTP application: routes, errors, middleware, and the workers that live as long as it does."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI

from deployments.cluster.request_ids import OneRequestId
from deployments.telemetry.otlp import Tracer
from serve.admission import Admission
from serve.api import (
    audit_log,
    chat,
    completions,
    conversations,
    dead_letters,
    embeddings,
    errors,
    feedback,
    files,
    filtered_files,
    health,
    input_tokens,
    mcp,
    messages,
    models,
    page,
    query,
    rerank,
    responses,
    search,
    store_files,
    user_facts,
    vector_stores,
)
from serve.api.description.document import describe
from serve.api.services import BackgroundWork, Services, identify
from serve.middleware import (
    LIMITED,
    AdmissionLimit,
    JsonByDefault,
    RelativeRedirects,
    RequestLog,
    RequestTrace,
)
from serve.origins import OriginLimit
from serve.request_body import BodyLimit
from serve.settings import Settings

BLOCKING_THREADS = 32
BACKGROUND_PAUSE_S = 5.0
ROUTERS = (
    query,
    chat,
    responses,
    input_tokens,
    conversations,
    feedback,
    user_facts,
    completions,
    messages,
    embeddings,
    rerank,
    files,
    filtered_files,
    vector_stores,
    store_files,
    dead_letters,
    audit_log,
    search,
    models,
    mcp,
    health,
    page,
)
logger = logging.getLogger(__name__)


def create_app(services: Services) -> FastAPI:
    """Plain FastAPI, so that any server can run it. `app.state.services` may be replaced while it serves."""
    # The framework's own pages of the description load scripts from another host. page.py has one that does not.
    app = FastAPI(
        title="ragserve",
        summary="Cited answers from your documents.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.services = services
    tracing = services.settings.tracing
    app.state.tracer = Tracer(tracing) if tracing.endpoint else None

    def settings() -> Settings:
        current: Services = app.state.services
        return current.settings

    for module in ROUTERS:
        app.include_router(module.router)
    describe(app, LIMITED, needs_key=lambda: app.state.services.access is not None)
    errors.install(app)
    # The middleware added last is the outermost.
    app.add_middleware(JsonByDefault)
    app.add_middleware(RelativeRedirects)
    app.add_middleware(
        AdmissionLimit,
        admission=Admission(lambda: settings().admission),
        identify=lambda scope, operation: identify(app.state.services, scope, operation),
        limits=services.limits,
    )
    app.add_middleware(BodyLimit, limits=lambda: settings().api)
    app.add_middleware(OriginLimit, limits=lambda: settings().api)
    app.add_middleware(RequestLog)
    app.add_middleware(RequestTrace, tracer=app.state.tracer)
    app.add_middleware(OneRequestId)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    # asyncio's default pool has few threads. Slow disk writes of ingestion would take them from questions.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_THREADS, "blocking"))
    await asyncio.gather(*(stage.start() for stage in services.inline))
    background = [asyncio.create_task(_run_again_after_errors(work)) for work in services.background]
    workers = [asyncio.create_task(services.ingest.run()), *background]
    try:
        yield
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await services.background_responses.close()
        services.corpus.close()
        if app.state.tracer is not None:
            await asyncio.to_thread(app.state.tracer.close)


async def _run_again_after_errors(work: BackgroundWork) -> None:
    """An error here fails no request: it is logged, and the work starts again after a pause."""
    while True:
        try:
            await work.run()
        except Exception:
            logger.exception("%s failed", type(work).__name__)
            await asyncio.sleep(BACKGROUND_PAUSE_S)
