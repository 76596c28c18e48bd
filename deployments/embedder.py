"""Embedding: texts into vectors. Queries share forward passes; documents let queries in between."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import numpy as np
from pydantic import Field
from ray import serve

from deployments.client import StageClient
from deployments.stage import BatchedStageConfig, load_if_changed, parse_user_config, set_batching
from deployments.telemetry.logs import join_serve_log
from models.catalog import Catalog
from models.embedding.base import EmbeddingModel
from models.types import Deadline, Embeddings, FloatArray, StageStatus


class EmbedderConfig(BatchedStageConfig):
    """Embedder's user_config."""

    model: str = Field(default="minilm", description="Catalog alias of an embedding model.")
    max_texts_per_pass: int = Field(
        default=32, ge=1, le=1024, description="Chunks of one forward pass; queries get in between passes."
    )


class Embedder:
    """The replica: one model, and one thread that computes."""

    _model: EmbeddingModel
    _config: EmbedderConfig

    def __init__(self, catalog: Catalog) -> None:
        join_serve_log()
        self._catalog = catalog
        # One thread: forward passes queue here in order and never fight over the cores.
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(EmbedderConfig, user_config)
        current = getattr(self, "_model", None)
        self._model = await load_if_changed(self._catalog, "embedding", config.model, current)
        set_batching(self._query_batches, config)
        self._config = config

    async def embed_queries(self, texts: list[str]) -> Embeddings:
        """Vectors of search queries; concurrent calls share a forward pass."""
        return await self._query_batches(texts)

    async def embed_documents(self, texts: list[str]) -> Embeddings:
        """Vectors of chunks, `max_texts_per_pass` at a time, so that a query never waits for a whole document."""
        model, step = self._model, self._config.max_texts_per_pass
        slices = [texts[start : start + step] for start in range(0, len(texts), step)]
        vectors = [await self._run(model.embed_documents, part) for part in slices]
        return Embeddings(np.concatenate(vectors), model.generation, model.name)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.0)
    async def _query_batches(self, calls: list[list[str]]) -> list[Embeddings]:
        return await self.embed_query_calls(calls)

    async def embed_query_calls(self, calls: list[list[str]]) -> list[Embeddings]:
        """One forward pass for the texts of all `calls`, taken apart again."""
        model = self._model
        vectors = await self._run(model.embed_queries, [text for call in calls for text in call])
        borders = list(accumulate(len(call) for call in calls))[:-1]
        return [Embeddings(part, model.generation, model.name) for part in np.split(vectors, borders)]

    async def status(self) -> StageStatus:
        return StageStatus(model=self._model.name)

    async def check_health(self) -> None:
        """Serve's probe: embeds a word, so a broken model or a stuck device is found out."""
        await self._run(self._model.embed_queries, ["health"])

    async def _run(self, embed: Callable[[list[str]], FloatArray], texts: list[str]) -> FloatArray:
        return await asyncio.get_running_loop().run_in_executor(self._compute, embed, texts)


class EmbedderClient(StageClient):
    """What the pipelines call. Satisfies serve.pipelines.stages.EmbedStage."""

    async def embed_query(self, text: str, deadline: Deadline) -> Embeddings:
        return await self.call("embed_queries", [text], deadline=deadline)

    async def embed_documents(self, texts: list[str], deadline: Deadline) -> Embeddings:
        return await self.call("embed_documents", texts, deadline=deadline)
