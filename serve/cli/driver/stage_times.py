"""Percentiles of each stage's time, from the timings that answers carry."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from serve.cli.driver.closed_loop import percentile

GENERATE, TOTAL = "generate", "total"
RETRIEVAL = "retrieval"  # embedding, both searches, reading the passages and reranking: all before the generator
STAGES = ("embed", "dense", "lexical", "fuse", "rerank", GENERATE)


@dataclass(frozen=True)
class Percentiles:
    """Seconds."""

    p50_s: float
    p95_s: float
    p99_s: float

    @staticmethod
    def of(times_s: Iterable[float]) -> "Percentiles":
        ordered = sorted(times_s)
        return Percentiles(*(percentile(ordered, fraction) for fraction in (0.5, 0.95, 0.99)))

    def __str__(self) -> str:
        return f"{1000 * self.p50_s:,.0f} / {1000 * self.p95_s:,.0f} / {1000 * self.p99_s:,.0f}"


def stage_percentiles(timings: Sequence[Mapping[str, float]]) -> dict[str, Percentiles]:
    """Of each stage that an answer names, of RETRIEVAL and of the service's own TOTAL."""
    by_stage = {stage: [timing[stage] for timing in timings if stage in timing] for stage in (*STAGES, TOTAL)} | {
        RETRIEVAL: [timing[TOTAL] - timing[GENERATE] for timing in timings if GENERATE in timing and TOTAL in timing]
    }
    return {stage: Percentiles.of(times_s) for stage, times_s in by_stage.items() if times_s}
