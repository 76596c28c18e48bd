"""A gate before the generator: without evidence the answer says so, and no model is asked."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from models.answer_form import RefusalName
from models.generation.prompt import prompt_of
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.stages import GenerateStage


class DecliningGeneration:
    """A GenerateStage that declines a request with less evidence than `min_evidence`.

    A request with functions is never declined: their results are evidence, too.
    """

    def __init__(
        self, generator: GenerateStage, min_evidence: float, refusal: RefusalName = "not_in_documents"
    ) -> None:
        """`refusal` is the answer without evidence, in the language of the answer."""
        self._generator, self._min_evidence, self._refusal = generator, min_evidence, refusal

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        """As GenerateStage. A declined answer has no model."""
        is_gated = request.evidence is not None and request.functions is None
        if is_gated and (request.evidence or 0.0) < self._min_evidence:
            yield GenerationDelta(prompt_of(request).refusals[self._refusal], "stop", marks=())
            return
        async with aclosing(self._generator.stream(request, context)) as deltas:
            async for delta in deltas:
                yield delta
