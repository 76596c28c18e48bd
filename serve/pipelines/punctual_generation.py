"""Answers whose time ends while they are written: the text so far counts, and says that it is a part."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from models.errors.stages import DeadlineExceededError
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.stages import GenerateStage


class PunctualGeneration:
    """A GenerateStage that ends a late answer after its last text. Without one, and in a call, the error goes on."""

    def __init__(self, generator: GenerateStage) -> None:
        self._generator = generator

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        """As GenerateStage."""
        model, has_text, has_calls = "", False, False
        try:
            async with aclosing(self._generator.stream(request, context)) as deltas:
                async for delta in deltas:
                    model, has_text = delta.model, has_text or bool(delta.text)
                    has_calls = has_calls or bool(delta.calls)
                    yield delta
        except DeadlineExceededError:
            if has_calls or not has_text:
                raise
            yield GenerationDelta("", "length", model=model, is_partial=True)
