"""Quoted answers without a message to the Generator: choosing sentences costs less than the message."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from deployments.telemetry.metrics.serving_models import observe_model
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.stages import GenerateStage


class InProcessQuotes:
    """A GenerateStage around the Generator's: where its model only quotes, this process makes the same quotes.

    A language model, a canary, a swap and an unknown state are the Generator's own. A Generator that hangs costs no
    question its time if its last status named a model that only quotes.
    """

    def __init__(
        self,
        generator: GenerateStage,
        serving_alias: Callable[[], Awaitable[str | None]],
        quoting: Callable[[str], GenerateStage | None],
    ) -> None:
        """`serving_alias` is the Generator's model, None if unknown; `quoting` makes it here, if it only quotes."""
        self._generator, self._serving_alias, self._quoting = generator, serving_alias, quoting

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        quoting = await self._model()
        start = time.perf_counter()
        async with aclosing((quoting or self._generator).stream(request, context)) as deltas:
            async for delta in deltas:
                if quoting is not None and delta.finish_reason is not None:
                    observe_model("generate", delta.model, time.perf_counter() - start)
                yield delta

    async def has_model(self) -> bool:
        """Whether quotes are made in this process now, so that no answer needs the Generator."""
        return await self._model() is not None

    async def _model(self) -> GenerateStage | None:
        alias = await self._serving_alias()
        return None if alias is None else self._quoting(alias)
