"""The whole graph on one screen. OPEN FIRST; then ingress.py, api/query.py, pipelines/query.py, and a stage."""

# No `from __future__ import annotations` here: Ray reads the builder's annotation to make a typed Settings.
from ray import serve as ray_serve
from ray.serve import Application

from deployments.dense_searcher import DenseSearcher
from deployments.embedder import Embedder
from deployments.generator import Generator
from deployments.lexical_searcher import LexicalSearcher
from deployments.parser import Parser
from deployments.reranker import Reranker
from models.catalog import Catalog
from serve.ingress import Ingress, Stages
from serve.settings import Settings


def build(settings: Settings) -> Application:
    """question -> embed -> dense || lexical -> rerank -> generate -> answer; file -> parse -> embed -> stored.

    How many replicas, their batching, queues and models are in serve_config.yaml, under `deployments`.
    """
    catalog = Catalog.open(settings.catalog)
    stages = Stages(
        embedder=replicas_of(Embedder).bind(catalog),
        dense=[
            replicas_of(DenseSearcher, name=name).bind(settings.storage, shard)
            for name, shard in settings.search.shards().items()
        ],
        lexical=replicas_of(LexicalSearcher).bind(settings.storage),
        reranker=replicas_of(Reranker).bind(catalog),
        generator=replicas_of(Generator).bind(catalog),
        parser=replicas_of(Parser).bind(catalog),
    )
    return replicas_of(Ingress).bind(settings, catalog, stages)


replicas_of = ray_serve.deployment
