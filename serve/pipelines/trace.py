"""The record of one request: the time and model of each stage, and the degraded stages."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from deployments.telemetry.spans import step
from models.errors.base import RagError
from models.types.stage_results import FellBack

# A stage that was left out; rerank_partial: the reranker had no time for the last of its candidates; sentences: those
# of a quoted answer were chosen by their words alone; generate_partial: the answer lacks text, or steps to it;
# embed_fallback, rerank_fallback, generate_fallback: a later model of the stage's list answered; generate_stale,
# retrieval_stale: the result of an equal request, made before the stage failed; memory: searched by words alone.
Degraded = Literal[
    "dense",
    "embed_fallback",
    "lexical",
    "rerank",
    "rerank_partial",
    "rerank_fallback",
    "sentences",
    "generate",
    "generate_partial",
    "generate_fallback",
    "generate_stale",
    "retrieval_stale",
    "memory",
]
# A part of a compound question, another wording, a made-up passage, a question with filters that stand in it.
SearchKind = Literal["part", "variant", "hypothetical", "filtered"]

DENSE_BRANCH, LEXICAL_BRANCH = ("embed", "dense"), ("lexical",)
BEFORE_SEARCH, AFTER_SEARCH = ("cache", "variant", "hypothetical"), ("fuse", "rerank", "sentences", "generate")


@dataclass(frozen=True)
class Search:
    """A search beside that of the question, or in its place. `filters` have the keys and values that were drawn.

    `is_dropped`: nothing matched, so the question was searched without them.
    """

    kind: SearchKind
    text: str
    filters: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    is_dropped: bool = False


@dataclass
class Trace:
    """`timings_s` holds wall-clock seconds of each stage; first_text and total count from the question.

    `degraded` names the stages that were left out, or did a part of their work, in order. `cached` names the caches
    that answered: the result was computed for an equal question. `searches`: see Search; empty for a plain question.
    `fallbacks` says of each stage that a later model of its list answered: the models before it, and why they did not.
    `reasons` says why a stage is in `degraded`: the stage that failed and the error's code, such as "embed
    deadline_exceeded" for dense; for a fallback each model with its error's code. `stale` has the
    age in seconds of results that were made before a stage failed, by their name in `degraded`.
    """

    timings_s: dict[str, float] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    degraded: list[Degraded] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    fallbacks: dict[str, dict[str, str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    stale: dict[str, float] = field(default_factory=dict)
    started_at: float = field(default_factory=time.perf_counter)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            with step(f"{stage} step"):
                yield
        finally:
            self.timings_s[stage] = time.perf_counter() - start

    def leave_out(self, name: Degraded, error: RagError) -> None:
        """Note what is degraded, and why."""
        self.degraded.append(name)
        self.reasons[name] = f"{stage_of(error) or name} {error.code}"

    def fall_back(self, name: Degraded, stage: str, fell_back: FellBack) -> None:
        """Note that a later model of a stage's list answered, and why those before it did not."""
        self.degraded.append(name)
        self.fallbacks[stage] = dict(fell_back)
        self.reasons[name] = ", ".join(f"{model} {reason}" for model, reason in fell_back)

    def note_age(self, name: Degraded, age_s: float) -> None:
        """Note how old the result is that took the place of a failed stage's."""
        self.stale[name] = round(age_s, 1)
        self.reasons[name] = f"{self.reasons[name]}, {age_s:.0f} s old"

    def answer_stale(self, age_s: float) -> None:
        """Note that the failed generator's own earlier text answers, not quotes."""
        self.degraded[self.degraded.index("generate")] = "generate_stale"
        self.reasons["generate_stale"] = self.reasons.pop("generate")
        self.note_age("generate_stale", age_s)

    def take_over(self, other: "Trace") -> None:
        """Note the models of a result that was computed for another request, and what was degraded."""
        self.models.update(other.models)
        self.degraded += other.degraded
        self.fallbacks.update(other.fallbacks)
        self.reasons.update(other.reasons)
        self.stale.update(other.stale)

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started_at


def longest_path(timings_s: Mapping[str, float], total_s: float) -> dict[str, float]:
    """The stages that a question waited for, one after another, and their overhead: together `total_s`.

    Of two searches side by side it is the slower one. A stage never has more than what is left of `total_s`.
    """
    branches = (DENSE_BRANCH, LEXICAL_BRANCH)
    search = max(branches, key=lambda branch: sum(timings_s.get(stage, 0.0) for stage in branch))
    path, left_s = dict[str, float](), total_s
    for stage in (*BEFORE_SEARCH, *search, *AFTER_SEARCH):
        if stage in timings_s:
            path[stage] = min(timings_s[stage], left_s)
            left_s -= path[stage]
    return {**path, "overhead": left_s}


def stage_of(error: RagError) -> str:
    """The stage that failed; empty if the error names none. A cache of vectors waits for the embedder alone."""
    stage: str = getattr(error, "stage", "")
    return "embed" if stage == "embeddings" else stage
