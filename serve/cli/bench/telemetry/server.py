"""ragserve's HTTP application with all stages in one process, whose telemetry can be switched while it serves.

`python -m serve.cli.bench.telemetry.server FOLDER PORT TRACES_ENDPOINT SAMPLE_RATE`. It begins with telemetry on.
Off means: every observation and count returns at once, no request is recorded, and the log's level is WARNING.
"""

import logging
import sys
import time
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path
from typing import Any

import uvicorn
from ray._common.formatters import JSONFormatter
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.calls.inline import InlineStage
from deployments.dense_searcher import DenseSearcher
from deployments.embedder import Embedder
from deployments.generator import Generator
from deployments.lexical_searcher import LexicalSearcher
from deployments.parser import Parser
from deployments.replica.storage import StorageConfig
from deployments.reranker import Reranker
from deployments.telemetry.access_log import ACCESS_LOG
from deployments.telemetry.buffered_metrics import BUFFER, Counter, Gauge, Histogram
from deployments.telemetry.logs import SERVE_LOGGER
from deployments.telemetry.otlp import TracingConfig
from deployments.telemetry.start import start_telemetry
from models.catalog import Catalog
from serve.cli.driver.servers import HOST
from serve.ingress import Stages, open_clients
from serve.live_services import LiveServices
from serve.middleware import RequestTrace
from serve.settings import Settings

LOG, MAX_LOG_BYTES = "replica.log", 100_000_000
ON, OFF, CPU_SECONDS = "/telemetry/on", "/telemetry/off", "x-cpu-seconds"
METHODS = [
    (Counter, "inc"),
    (Histogram, "observe"),
    *((Gauge, name) for name in ("inc", "dec", "set", "set_to_current_time")),
    *((kind, "labels") for kind in (Counter, Gauge, Histogram)),
]


class Switch:
    """An ASGI layer that turns telemetry on and off. Switch while no request is under way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._methods = [getattr(kind, name) for kind, name in METHODS]
        self._trace: RequestTrace | None = None
        self._tracer: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in (ON, OFF):
            await self._app(scope, receive, send)
            return
        # What was gathered is written now, so that it is part of the burst that it is of.
        BUFFER.flush()
        ACCESS_LOG.flush()
        self._set(scope["path"] == ON)
        used = str(time.process_time()).encode()
        await send({"type": "http.response.start", "status": 204, "headers": [(CPU_SECONDS.encode(), used)]})
        await send({"type": "http.response.body", "body": b""})

    def _set(self, is_on: bool) -> None:
        for (kind, name), method in zip(METHODS, self._methods, strict=True):
            setattr(kind, name, method if is_on else _return_self)
        logging.getLogger(SERVE_LOGGER).setLevel(logging.INFO if is_on else logging.WARNING)
        if self._trace is None:
            self._trace = _layer(self._app)
            self._tracer = self._trace.tracer
        self._trace.tracer = self._tracer if is_on else None


def _return_self(metric: Any, *_: object, **__: object) -> Any:
    return metric


def _layer(app: Any) -> RequestTrace:
    """The layer that records requests. The layers are put together with the first request."""
    layer = app.middleware_stack
    while not isinstance(layer, RequestTrace):
        layer = layer.app
    return layer


def log_as_replica(folder: Path) -> None:
    """As Serve configures a replica with `encoding: JSON` and `log_level: INFO` in throughput mode: a file alone."""
    file = RotatingFileHandler(folder / LOG, maxBytes=MAX_LOG_BYTES, backupCount=1)
    file.setFormatter(JSONFormatter())
    logger = logging.getLogger(SERVE_LOGGER)
    logger.handlers = [MemoryHandler(1, target=file)]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def open_app(folder: Path, tracing: TracingConfig) -> ASGIApp:
    """With the models and the indexes of the deployment file as shipped."""
    settings = Settings(storage=StorageConfig(data_dir=folder), tracing=tracing)
    catalog, storage = Catalog.open(settings.catalog), settings.storage
    stages = Stages(
        embedder=InlineStage(Embedder, (catalog,), {}),
        dense=[InlineStage(DenseSearcher, (storage, None), {})],
        lexical=[InlineStage(LexicalSearcher, (storage, None), {})],
        reranker=InlineStage(Reranker, (catalog,), {}),
        generator=InlineStage(Generator, (catalog,), {}),
        parser=InlineStage(Parser, (catalog,), {}),
    )
    corpus = storage.open()
    clients = open_clients(stages, settings, catalog, corpus.embedding_references)
    return LiveServices(settings, catalog, corpus, clients).app


def main(folder: Path, port: int, endpoint: str, sample_rate: float) -> None:
    log_as_replica(folder)
    start_telemetry("ingress")
    app = open_app(folder / "data", TracingConfig(endpoint=endpoint, sample_rate=sample_rate))
    uvicorn.run(Switch(app), host=HOST, port=port, access_log=False, log_config=None, lifespan="on")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
