"""The HTTP deployment: makes a client of each stage's handle, and serves what live_services composes."""

import logging
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from ray import serve as ray_serve
from ray.serve.handle import DeploymentHandle

from deployments.calls.handle import Handle
from deployments.calls.inline import InlineHandle, InlineStage
from deployments.calls.ray_handle import RayHandle
from deployments.cluster.rollout import rollout, states
from deployments.dense_searcher import DenseSearcherClient
from deployments.embedder import Embedder, EmbedderClient
from deployments.generator import GeneratorClient, InlineGenerator, quoting_models
from deployments.lexical_searcher import LexicalSearcherClient
from deployments.parser import ParserClient
from deployments.replica.start import start_replica
from deployments.reranker import RerankerClient
from deployments.telemetry.exposition import metrics_files_folder
from deployments.telemetry.rollouts import RolloutWatch
from models.catalog import Catalog
from models.corpus.embedding_references import EmbeddingReferences
from models.errors.configuration import ConfigError
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from serve.api.services import BackgroundWork
from serve.clients import Clients
from serve.live_services import LiveServices
from serve.pipelines.fallback_embedder import FallbackEmbedder, FallbackModel
from serve.pipelines.stages import EmbedStage
from serve.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stages:
    """Every stage: a handle, where build() bound a deployment, or a stage to run inside this process."""

    embedder: DeploymentHandle[Any] | InlineStage
    dense: list[DeploymentHandle[Any] | InlineStage]
    lexical: list[DeploymentHandle[Any] | InlineStage]
    reranker: DeploymentHandle[Any] | InlineStage
    generator: DeploymentHandle[Any] | InlineStage
    parser: DeploymentHandle[Any] | InlineStage


@ray_serve.ingress()
class Ingress:
    """One HTTP replica. All its state is in the corpus.

    Its settings are `args`, overridden by user_config, which can change while it serves.
    """

    def __init__(self, settings: Settings, catalog: Catalog, stages: Stages) -> None:
        start_replica("ingress")
        corpus = settings.storage.open()
        clients = open_clients(stages, settings, catalog, corpus.embedding_references)
        self._live = LiveServices(settings, catalog, corpus, clients)
        self._is_configured = False

    def __serve_build_asgi_app__(self) -> FastAPI:
        return self._live.app

    async def reconfigure(self, user_config: dict[str, Any] | None, rank: object = None) -> None:
        """Applies the user_config. Raises ConfigError for a wrong value, but only at the start.

        Later the error is logged and the old settings stay: Serve stops a replica whose reconfigure raises. Serve
        reports a removed user_config (None) only to a method with the argument `rank`. It must return at once: until
        then HAProxy sends the requests through Serve's own proxy, which is slower. Source: ray 2.60, serve/_private:
        deployment_state.py, _check_startup_replicas; replica.py, call_reconfigure; controller.py, get_target_groups.
        """
        try:
            self._live.configure(user_config)
        except ConfigError as error:
            if not self._is_configured:
                raise
            logger.error("user_config is invalid, so the previous settings stay in use: %s", error)
        self._is_configured = True

    async def check_health(self) -> None:
        """Serve's probe."""
        await self._live.check_health()


def open_clients(stages: Stages, settings: Settings, catalog: Catalog, references: EmbeddingReferences) -> Clients:
    """A client of each stage; one of an inline stage opens it."""
    coalescing = settings.coalescing
    inline: list[InlineHandle] = []
    embedder = EmbedderClient(_handle(stages.embedder, inline), "embed", coalescing)
    dense = DenseSearcherClient([_handle(shard, inline) for shard in stages.dense], coalescing)
    lexical = LexicalSearcherClient([_handle(shard, inline) for shard in stages.lexical], coalescing)
    reranker = RerankerClient(_handle(stages.reranker, inline), "rerank", coalescing)
    generator = GeneratorClient(_handle(stages.generator, inline), "generate")
    parser = ParserClient(_handle(stages.parser, inline), "parse")
    clients = (embedder, dense, lexical, reranker, generator, parser)
    background: list[BackgroundWork] = [RolloutWatch(states, folder)] if (folder := metrics_files_folder()) else []
    backed = FallbackEmbedder(embedder, fallback_models(settings, catalog), settings.embed_fallback, references)
    embed_stage: EmbedStage = embedder
    if settings.embed_fallback.models:
        embed_stage = backed
        background.append(backed)
    return Clients(
        embedder=embed_stage,
        has_second_embedder=lambda: backed.has_equal,
        dense=dense,
        lexical=lexical,
        reranker=reranker,
        generator=generator,
        parser=parser,
        fallback=InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig())),
        quoting=quoting_models(catalog),
        statuses={client.stage: client for client in clients} | {embedder.stage: embed_stage},
        breakers={client.stage: client.breakers for client in clients},
        inline=inline,
        rollout=rollout,
        background=background,
    )


def fallback_models(settings: Settings, catalog: Catalog) -> list[FallbackModel]:
    """The embedder's fallbacks, each a replica inside this process, which a model behind a URL does not burden."""
    models = []
    for alias in settings.embed_fallback.models:
        handle = InlineHandle(Embedder(catalog), {"model": alias})
        client = EmbedderClient(handle, "embed_fallback", settings.coalescing)
        client.breaker.configure(settings.breaker)
        models.append(FallbackModel(alias, client, handle.start))
    return models


def _handle(stage: DeploymentHandle[Any] | InlineStage, inline: list[InlineHandle]) -> Handle:
    """How the stage is called. An inline stage is opened here, and added to `inline`."""
    if not isinstance(stage, InlineStage):
        return RayHandle(stage)
    inline.append(stage.open())
    return inline[-1]
