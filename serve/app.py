"""The whole graph on one screen. OPEN FIRST; then ingress.py, api/query.py, pipelines/query.py, and a stage."""

# No `from __future__ import annotations` here: Ray reads the builder's annotation to make a typed Settings.
from typing import Any, cast

from ray import serve as ray_serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from deployments.calls.inline import InlineStage
from deployments.calls.routing import ROUTING
from deployments.dense_searcher import DenseSearcher
from deployments.embedder import Embedder
from deployments.generator import Generator
from deployments.lexical_searcher import LexicalSearcher
from deployments.parser import Parser
from deployments.reranker import Reranker
from models.catalog import Catalog
from serve.ingress import Ingress, Stages
from serve.placement import InlineConfig
from serve.settings import Settings


def build(settings: Settings) -> Application:
    """question -> embed -> dense || lexical -> rerank -> generate -> answer; file -> parse -> embed -> stored.

    serve_config.yaml sets replicas, batching, queues and models, under `deployments`.
    """
    catalog = Catalog.open(settings.catalog) if settings.ocr else Catalog.open(settings.catalog).without_ocr()
    place, storage, search = Placement(settings.inline), settings.storage, settings.search
    stages = Stages(
        embedder=place(Embedder, catalog),
        dense=[place(DenseSearcher, storage, shard, name=name) for name, shard in search.dense().items()],
        lexical=[place(LexicalSearcher, storage, shard, name=name) for name, shard in search.lexical().items()],
        reranker=place(Reranker, catalog),
        generator=place(Generator, catalog),
        parser=place(Parser, catalog),
    )
    return ray_serve.deployment()(Ingress).bind(settings, catalog, stages)  # HAProxy chooses its replica


class Placement:
    """Makes a stage a deployment of its own, or an inline stage, as the settings say."""

    def __init__(self, inline: InlineConfig) -> None:
        self._user_configs = inline.user_configs()

    def __call__(self, kind: type, *arguments: object, name: str | None = None) -> DeploymentHandle[Any] | InlineStage:
        name = name or kind.__name__
        if name in self._user_configs:
            return InlineStage(kind, arguments, self._user_configs[name])
        bound = ray_serve.deployment(name=name, request_router_config=ROUTING)(kind).bind(*arguments)
        return cast(DeploymentHandle[Any], bound)  # Serve passes a handle in the place of a bound deployment
