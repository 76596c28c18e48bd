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
from models.errors import ConflictError
from models.types import Deadline, Embeddings, FloatArray, StageStatus

QueryCall = tuple[list[str], EmbeddingModel]


class EmbedderConfig(BatchedStageConfig):
    """Embedder's user_config."""

    model: str = Field(default="minilm", description="Catalog alias of an embedding model.")
    max_texts_per_pass: int = Field(
        default=32, ge=1, le=1024, description="Chunks of one forward pass; queries get in between passes."
    )
    max_other_models: int = Field(
        default=1, ge=1, le=8, description="Models kept for vector stores that are not yet, or no longer, at `model`."
    )


class Embedder:
    """The replica: the configured model, the models of other generations that are still asked for, and one thread.

    A vector store is searched in its own generation until the configured model's is built, so both are loaded then.
    """

    _model: EmbeddingModel
    _config: EmbedderConfig

    def __init__(self, catalog: Catalog) -> None:
        join_serve_log()
        self._catalog = catalog
        self._others: dict[str, EmbeddingModel] = {}  # by generation
        self._loading = asyncio.Lock()
        # One thread: forward passes queue here in order and never fight over the cores.
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embed")

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(EmbedderConfig, user_config)
        current = getattr(self, "_model", None)
        model = await load_if_changed(self._catalog, "embedding", config.model, current)
        if current is not None and current is not model:
            self._others[current.generation] = current
        self._model, self._config = model, config
        self._others.pop(model.generation, None)
        self._let_go()
        set_batching(self._query_batches, config)

    async def embed_queries(self, texts: list[str], generation: str | None = None) -> Embeddings:
        """Vectors of search queries; concurrent calls in one generation share a forward pass.

        Raises ConflictError if no model of the catalog gives that generation any more.
        """
        return await self._query_batches((texts, await self._model_of(generation)))

    async def embed_documents(self, texts: list[str], generation: str | None = None) -> Embeddings:
        """Vectors of chunks, `max_texts_per_pass` at a time, so that a query never waits for a whole document."""
        model, step = await self._model_of(generation), self._config.max_texts_per_pass
        # An empty document still is a matrix, of no rows.
        slices = [texts[start : start + step] for start in range(0, max(1, len(texts)), step)]
        vectors = [await self._run(model.embed_documents, part) for part in slices]
        return Embeddings(np.concatenate(vectors), model.generation, model.name)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.0)
    async def _query_batches(self, calls: list[QueryCall]) -> list[Embeddings]:
        return await self.embed_query_calls(calls)

    async def embed_query_calls(self, calls: list[QueryCall]) -> list[Embeddings]:
        """One forward pass a model for the texts of all `calls`, taken apart again."""
        results: list[Embeddings | None] = [None] * len(calls)
        for model in {id(model): model for _, model in calls}.values():
            places = [place for place, (_, wanted) in enumerate(calls) if wanted is model]
            texts = [calls[place][0] for place in places]
            vectors = await self._run(model.embed_queries, [text for part in texts for text in part])
            borders = list(accumulate(len(part) for part in texts))[:-1]
            for place, part in zip(places, np.split(vectors, borders), strict=True):
                results[place] = Embeddings(part, model.generation, model.name)
        return [result for result in results if result is not None]

    async def _model_of(self, generation: str | None) -> EmbeddingModel:
        if generation is None or generation == self._model.generation:
            return self._model
        async with self._loading:
            if generation not in self._others:
                self._others[generation] = await asyncio.to_thread(self._load, generation)
                self._let_go()
        return self._others[generation]

    def _load(self, generation: str) -> EmbeddingModel:
        alias = generation.rpartition("@")[0]
        model: EmbeddingModel = self._catalog.load("embedding", alias)
        if model.generation != generation:
            raise ConflictError(f"model {alias!r} is {model.generation!r} now; nothing embeds for {generation!r}")
        return model

    def _let_go(self) -> None:
        """Of the other generations' models the last `max_other_models` stay."""
        for generation in list(self._others)[: max(0, len(self._others) - self._config.max_other_models)]:
            del self._others[generation]

    async def status(self) -> StageStatus:
        return StageStatus(model=self._model.name, generation=self._model.generation)

    async def check_health(self) -> None:
        """Serve's probe: embeds a word, so a broken model or a stuck device is found out."""
        await self._run(self._model.embed_queries, ["health"])

    async def _run(self, embed: Callable[[list[str]], FloatArray], texts: list[str]) -> FloatArray:
        return await asyncio.get_running_loop().run_in_executor(self._compute, embed, texts)


class EmbedderClient(StageClient):
    """What the pipelines call. Satisfies serve.pipelines.stages.EmbedStage."""

    async def embed_query(self, text: str, deadline: Deadline, generation: str | None = None) -> Embeddings:
        return await self.call("embed_queries", [text], generation, deadline=deadline)

    async def embed_documents(self, texts: list[str], deadline: Deadline, generation: str | None = None) -> Embeddings:
        return await self.call("embed_documents", texts, generation, deadline=deadline)
