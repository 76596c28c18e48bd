"""Every stage, as the service calls it: clients of replicas, or the models themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from deployments.calls.stage_breaker import StageBreaker, StageBreakerConfig
from serve.api.services import BackgroundWork, InlineReplica
from serve.pipelines.stages import (
    CompletionStage,
    DenseStage,
    EmbedStage,
    GenerateStage,
    LexicalStage,
    ParseStage,
    StatusSource,
)
from serve.pipelines.stored_tokens import TokenReranker


class Generation(GenerateStage, CompletionStage, Protocol):
    """The generator: answers from passages, and OpenAI's own completions."""


def never() -> bool:
    """No stage can be missing."""
    return False


@dataclass(frozen=True)
class Clients:
    """Every stage, by role.

    `fallback` answers when `generator` cannot. `quoting` is the model of an alias that only quotes, in this process;
    None for a language model. `statuses` reports the model of each stage, by the stage's name; `breakers` has those of
    its clients. `has_second_embedder`: whether another model embeds questions while the Embedder does not. `rollout`:
    see Services. `background` is work beside the stages, such as a look at roll-outs.
    """

    embedder: EmbedStage
    dense: DenseStage
    lexical: LexicalStage
    reranker: TokenReranker
    generator: Generation
    parser: ParseStage
    fallback: GenerateStage
    quoting: Callable[[str], GenerateStage | None]
    statuses: Mapping[str, StatusSource]
    breakers: Mapping[str, Sequence[StageBreaker]] = field(default_factory=dict)
    inline: Sequence[InlineReplica] = ()
    has_second_embedder: Callable[[], bool] = never
    rollout: Callable[[], Mapping[str, str]] | None = None
    background: Sequence[BackgroundWork] = ()

    def configure_breakers(self, config: StageBreakerConfig) -> None:
        for breakers in self.breakers.values():
            for breaker in breakers:
                breaker.configure(config)
