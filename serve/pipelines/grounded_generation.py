"""`grounded: strict`: sentences that no passage supports are left out before anybody reads them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from models.generation.function_calls import results
from models.generation.prompt import prompt_of
from models.generation.support import is_supported, statements
from models.types.chunks import Passage
from models.types.generation import GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from serve.pipelines.stages import GenerateStage

MAX_HELD_CHARS = 4000  # text without the end of a sentence is checked at this length


class GroundedGeneration:
    """A GenerateStage that leaves out unsupported sentences, if the request is strict. Quotes pass as they are.

    A sentence is held until the next one begins, then it is checked against the request's passages.
    """

    def __init__(self, generator: GenerateStage) -> None:
        self._generator = generator

    async def stream(
        self, request: GenerationRequest, context: RequestContext
    ) -> AsyncGenerator[GenerationDelta, None]:
        """As GenerateStage. The last delta has the sentences that were left out."""
        sources = (*request.passages, *results(request.messages))
        sieve = _Sieve(sources, prompt_of(request).refusals["nothing_supported"])
        async with aclosing(self._generator.stream(request, context)) as deltas:
            async for delta in deltas:
                if not request.is_strict or delta.marks is not None:
                    yield delta
                    continue
                checked = sieve.read(delta)
                if checked.text or checked.calls or checked.finish_reason is not None:
                    yield checked


class _Sieve:
    """The text of an answer so far: what is held, and what was left out."""

    def __init__(self, passages: tuple[Passage, ...], nothing_supported: str) -> None:
        """`nothing_supported` is the answer if no sentence is supported."""
        self._passages, self._nothing_supported = passages, nothing_supported
        self._held_text = ""
        self._has_text = False
        self._left_out: list[str] = []

    def read(self, delta: GenerationDelta) -> GenerationDelta:
        """The delta with the sentences that have ended and are supported."""
        self._held_text += delta.text
        is_last = delta.finish_reason is not None
        text = self._checked(is_last)
        if not is_last:
            return replace(delta, text=text)
        if self._left_out and not self._has_text:
            text = self._nothing_supported
        return replace(delta, text=text, left_out=tuple(self._left_out))

    def _checked(self, is_last: bool) -> str:
        pieces = statements(self._held_text)
        if not is_last and len(self._held_text) <= MAX_HELD_CHARS:
            pieces = pieces[:-1]  # its end may still come
        text, end = "", 0
        for piece in pieces:
            text += self._sifted(self._held_text[piece.start : piece.end], piece.text)
            end = piece.end
        tail = self._held_text[end:] if is_last and self._has_text else ""
        self._held_text = "" if is_last else self._held_text[end:]
        return text + (tail if tail.strip() else "")

    def _sifted(self, piece: str, sentence: str) -> str:
        if not is_supported(sentence, self._passages):
            self._left_out.append(sentence)
            return ""
        shown = piece if self._has_text else piece.lstrip()
        self._has_text = True
        return shown
