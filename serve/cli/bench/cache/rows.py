"""A row a replay of the trace, and the table of all rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve.cli.driver.stage_times import Percentiles

WITHOUT, MEMORY, REDIS = "without caches", "in process", "in process and on Redis"
SAMPLE = re.compile(r'^ragserve_cache_(hits|shared)_total\{level="(\w+)"(?:,tier="(\w+)")?\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class CacheRow:
    """One replay. `hits` counts the answers of each level's caches, those of a computation under way included."""

    caches: str
    per_s: float
    num_answers: int
    total: Percentiles
    cpu_ms: float
    hits: Mapping[str, int]
    degraded: int
    failed: int
    note: str = ""


def hits_of(metrics: str) -> dict[str, int]:
    """The answers of each level's caches so far, from the page /metrics."""
    hits: dict[str, int] = {}
    for _, level, _, value in SAMPLE.findall(metrics):
        hits[level] = hits.get(level, 0) + int(float(value))
    return hits


def table(rows: Sequence[CacheRow], repeated: float) -> str:
    """Markdown. `repeated` is the fraction of questions that repeat an earlier one exactly."""
    base = next((row.per_s for row in rows if row.caches == WITHOUT), 0.0)
    lines = [
        "| caches | questions/s | times | p50 / p95 / p99 ms | CPU ms a question | answers | retrieval | embeddings "
        "| degraded | failed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = f"{row.per_s / base:.2f}" if base else "-"
        hits = " | ".join(_share(row, level) for level in ("answers", "retrieval", "embeddings"))
        speed = f"{row.per_s:.1f} | {times} | {row.total} | {row.cpu_ms:.0f}"
        lines.append(f"| {row.caches} | {speed} | {hits} | {row.degraded} | {row.failed} |")
    limit = f"If a repetition were free: {1 / (1 - repeated):.2f} times."
    return "\n".join([*lines, "", f"{repeated:.1%} of the questions repeat exactly. {limit}"])


def _share(row: CacheRow, level: str) -> str:
    """Hits, as a fraction of all questions."""
    return f"{row.hits.get(level, 0) / max(1, row.num_answers):.1%}"
