"""Which prompt set makes an answer: the configured one, or its canary for a fraction of the questions."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from hashlib import blake2b

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry.metrics.questions import PROMPT_ANSWERS
from models.prompts.library import DEFAULT_PROMPTS, PromptLibrary
from models.prompts.prompt_set import PromptSet
from models.types.request_context import RequestContext
from serve.pipelines.answering import Answered, Answering, Event, Query


class PromptCanary(BaseModel):
    """A prompt set on trial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = Field(min_length=1, description="name@version of the set on trial.")
    share: float = Field(
        ge=0, lt=1, description="Fraction of questions that it gets. The same question always takes the same way."
    )


class PromptsConfig(BaseModel):
    """The prompt set of answers, from the catalog's folder `prompts`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = Field(default=DEFAULT_PROMPTS, min_length=1, description="name@version of the set.")
    canary: PromptCanary | None = Field(default=None, description="A second set, on trial.")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.prompt,) if self.canary is None else (self.prompt, self.canary.prompt)


class PromptedAnswering:
    """Chooses the texts of an answer, and counts the answers of each prompt set by their outcome."""

    def __init__(self, answering: Answering, config: PromptsConfig, library: PromptLibrary) -> None:
        """Raises ConfigError for a set that the library lacks."""
        self._answering = answering
        self._prompts = library.get(config.prompt)
        self._canary = library.get(config.canary.prompt) if config.canary else self._prompts
        self._share = config.canary.share if config.canary else 0.0

    async def answer(self, query: Query, context: RequestContext) -> AsyncGenerator[Event, None]:
        """As Answering."""
        query = replace(query, prompts=self._chosen(query.text))
        async with aclosing(self._answering.answer(query, context)) as events:
            async for event in events:
                if isinstance(event, Answered) and event.prompt:
                    PROMPT_ANSWERS.labels(event.prompt, event.outcome).inc()
                yield event

    def _chosen(self, question: str) -> PromptSet:
        if not self._share:
            return self._prompts
        return self._canary if _fraction(question) < self._share else self._prompts


def _fraction(question: str) -> float:
    """A number from 0 to 1, evenly distributed, and the same for a question in every process."""
    digest = blake2b(question.encode(errors="surrogatepass"), digest_size=8, person=b"prompts").digest()
    return int.from_bytes(digest) / 2**64
