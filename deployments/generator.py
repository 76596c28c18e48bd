"""Generation: the stage that writes the answer, streamed. The engine batches; closing a stream frees it at once."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from pydantic import Field

from deployments.client import StageClient
from deployments.stage import StageConfig, parse_user_config
from deployments.telemetry.logs import join_serve_log
from models.catalog import Catalog
from models.errors import StageUnavailableError
from models.generation.base import GenerationModel
from models.types import Deadline, GenerationDelta, GenerationRequest, StageStatus


class GeneratorConfig(StageConfig):
    """Generator's user_config. Its batching is the engine's own (continuous batching); see the catalog's options."""

    model: str = Field(default="extractive", description="Catalog alias of a generation model.")


class Generator:
    """The replica: one model at a time."""

    _model: GenerationModel | None = None

    def __init__(self, catalog: Catalog) -> None:
        join_serve_log()
        self._catalog = catalog

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        config = parse_user_config(GeneratorConfig, user_config)
        current = self._model
        if current is not None and current.name == config.model:
            return
        # The old engine goes first: two engines seldom fit into one device's memory.
        if current is not None:
            self._model = None
            await current.stop()
        self._model = await self._started(config.model)

    async def _started(self, alias: str) -> GenerationModel:
        model: GenerationModel = await asyncio.to_thread(self._catalog.load, "generation", alias)
        # What an engine reads from the environment has to be there before it is imported.
        os.environ.update(model.environment())
        await model.start()
        return model

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationDelta, None]:
        """Deltas as they come. Closing it, as a cancelled caller does, frees the engine at once."""
        model = self._serving()
        async with aclosing(model.stream(request)) as deltas:
            async for delta in deltas:
                yield replace(delta, model=model.name)

    async def status(self) -> StageStatus:
        model = self._serving()
        return StageStatus(model.name, model.num_unfinished())

    async def check_health(self) -> None:
        """Serve's probe: the engine's own."""
        if self._model is not None:
            await self._model.check_health()

    def _serving(self) -> GenerationModel:
        if self._model is None:
            raise StageUnavailableError("generate")
        return self._model


class GeneratorClient(StageClient):
    """What the query path calls. Satisfies serve.pipelines.stages.GenerateStage."""

    def stream(self, request: GenerationRequest, deadline: Deadline) -> AsyncGenerator[GenerationDelta, None]:
        return self.stream_call("stream", request, deadline=deadline)


class InlineGenerator:
    """A model inside the calling process, behind the same protocol: for one that needs no replica of its own."""

    def __init__(self, model: GenerationModel) -> None:
        self._model = model

    async def stream(self, request: GenerationRequest, deadline: Deadline) -> AsyncGenerator[GenerationDelta, None]:
        async with aclosing(self._model.stream(request)) as deltas:
            async for delta in deltas:
                yield replace(delta, model=self._model.name)
