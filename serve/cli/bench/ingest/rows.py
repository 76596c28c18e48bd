"""What `ragserve bench ingest` measures, and its tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from serve.cli.driver.random_models import ENCODER
from serve.cli.driver.servers import OURS

OFFLINE, OFFLINE_VECTORS = "the embedder alone", "the embedder alone, without token vectors"
LANGCHAIN, LLAMAINDEX = "LangChain", "LlamaIndex"
MIN_OF_OFFLINE = 0.85  # chunks a second of the service over the embedder's alone
MIN_RATIO = 2.0  # a library's time for the same documents over the service's
MAX_P95_RATIO = 2.0  # p95 of questions during ingestion over that of an idle service


@dataclass(frozen=True)
class IngestPlan:
    """The documents and the contenders. `documents`: a question set's folder, None for this repository's own pages.

    `model` is the alias that ragserve embeds with; the libraries have minilm's weights in any case.
    """

    config: Path
    peers: Path
    documents: Path | None
    num_files: int
    num_large: int
    large_documents: int
    threads: int
    may_install: bool = True
    model: str = ENCODER

    def as_quick(self) -> "IngestPlan":
        return replace(self, num_files=24, num_large=1, large_documents=8, may_install=False)


@dataclass(frozen=True)
class Row:
    """One contender: its time for all documents, its chunks, and its peak of memory by process."""

    by: str
    seconds: float
    chunks: int
    peak_mb: dict[str, float] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        return self.chunks / self.seconds


@dataclass(frozen=True)
class QuestionRow:
    """Questions asked one after the other, while the service does `meanwhile`."""

    meanwhile: str
    questions: int
    p50_ms: float
    p95_ms: float


HEAD = (
    "| by | seconds | chunks | chunks/s | ragserve against it | target | peak MB of memory |\n"
    "|---|---|---|---|---|---|---|"
)
QUESTION_HEAD = "| meanwhile | questions | p50 / p95 ms | p95 against idle | target |\n|---|---|---|---|---|"


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of Markdown under HEAD. ragserve is compared with the embedder by chunks a second, else by time."""
    ours = next((row for row in rows if row.by == OURS), None)
    return [_line(row, ours) for row in rows]


def _line(row: Row, ours: Row | None) -> str:
    ratio, target = "", ""
    if ours is not None and row.by in (OFFLINE, OFFLINE_VECTORS):
        ratio, target = _marked(ours.per_s / row.per_s, MIN_OF_OFFLINE), f"{MIN_OF_OFFLINE:g}"
    elif ours is not None and row.by in (LANGCHAIN, LLAMAINDEX):
        ratio, target = _marked(row.seconds / ours.seconds, MIN_RATIO), f"{MIN_RATIO:g}"
    memory = ", ".join(f"{name} {peak:,.0f}" for name, peak in sorted(row.peak_mb.items(), key=lambda item: -item[1]))
    cells = (row.by, f"{row.seconds:.1f}", f"{row.chunks:,}", f"{row.per_s:.1f}", ratio, target, memory)
    return f"| {' | '.join(cells)} |"


def _marked(ratio: float, target: float) -> str:
    return f"{ratio:.2f}{' (short)' if ratio < target else ''}"


def question_table(rows: Sequence[QuestionRow]) -> list[str]:
    """The lines of Markdown under QUESTION_HEAD. The first row is the idle service."""
    return [_question_line(row, rows[0]) for row in rows]


def _question_line(row: QuestionRow, idle: QuestionRow) -> str:
    ratio = row.p95_ms / idle.p95_ms
    compared = "" if row is idle else f"{ratio:.2f}{' (short)' if ratio > MAX_P95_RATIO else ''}"
    target = "" if row is idle else f"at most {MAX_P95_RATIO:g}"
    times = f"{row.p50_ms:,.0f} / {row.p95_ms:,.0f}"
    return f"| {row.meanwhile} | {row.questions} | {times} | {compared} | {target} |"


def write_json(path: Path, rows: Sequence[Row], questions: Sequence[QuestionRow], facts: Mapping[str, str]) -> None:
    """All results, and the facts about machine, documents and contenders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {"facts": dict(facts), "rows": list(map(asdict, rows)), "questions": list(map(asdict, questions))}
    path.write_text(json.dumps(results, indent=1) + "\n")
