"""The HTTP application with an inline embedder behind uvicorn: `python -m serve.cli.bench.door.server SETTINGS PORT`.

SETTINGS is a JSON file. Without Ray and HAProxy, a request takes a fraction of the time, and so does its noise.
"""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import uvicorn

from deployments.calls.inline import InlineHandle, InlineStage
from deployments.dense_searcher import DenseSearcher
from deployments.embedder import Embedder
from deployments.generator import Generator
from deployments.lexical_searcher import LexicalSearcher
from deployments.parser import Parser
from deployments.reranker import Reranker
from models.catalog import Catalog
from serve.ingress import Stages, open_clients
from serve.live_services import LiveServices
from serve.settings import Settings


def main(settings_path: str, port: str) -> None:
    settings, catalog = Settings.model_validate(json.loads(Path(settings_path).read_text())), Catalog.open(None)
    stages = Stages(
        InlineStage(Embedder, (catalog,), {}),
        [InlineStage(DenseSearcher, (settings.storage, None), {})],
        [InlineStage(LexicalSearcher, (settings.storage, None), {})],
        *(InlineStage(kind, (catalog,), {}) for kind in (Reranker, Generator, Parser)),
    )
    corpus = settings.storage.open()
    clients = open_clients(stages, settings, catalog, corpus.embedding_references)
    # The only stage that is called.
    started = [
        handle
        for handle in clients.inline
        if isinstance(handle, InlineHandle) and handle.replica.stage == Embedder.stage
    ]
    live = LiveServices(settings, catalog, corpus, replace(clients, inline=started))
    logging.disable(logging.INFO)  # as the shipped log_level
    uvicorn.run(live.app, port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
