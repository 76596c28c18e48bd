"""`ragserve bench peers`: the whole query path over HTTP against Haystack and LangChain services that do the same work.

Models, chunks, vectors, questions and number of candidates are the same. All servers run at once on one machine and
take turns under the same load, which comes from a process of its own. The turn with the median throughput counts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from models.errors.requests import InvalidRequestError
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.servers import OURS

TARGET_CLIENTS = 16
MAX_CLIENTS = 256
CROSS_ENCODER, NONE = "cross-encoder", "none"  # what the peers rerank with; with NONE, ragserve reranks by MaxSim
MIN_RATIOS = {CROSS_ENCODER: 3.0, NONE: 4.0}  # of queries a second, with a p95 no worse
HAYSTACK, LANGCHAIN = "Haystack + hayhooks", "LangChain + FastAPI"


@dataclass(frozen=True)
class PeersPlan:
    """The comparison. `documents`: a question set's folder, None for this repository's own pages.

    `questions`: a file with a question a line, None for the set's own. `threads` are those of a forward pass of
    ragserve, `peer_threads` and `peer_dtype` those of the peers: each runs with its best setting. `num_compared`:
    questions whose passages are compared. `may_install`: missing peers. `corpus`: a prepared corpus, in place of
    documents and questions. Raises InvalidRequestError for `clients` outside 1 to MAX_CLIENTS and unknown `modes`.
    """

    config: Path
    peers: Path
    documents: Path | None
    questions: Path | None
    clients: tuple[int, ...]
    turn_s: float
    num_turns: int
    threads: int = 1
    peer_threads: int = 1
    peer_dtype: Literal["float32", "bfloat16"] = "float32"
    num_compared: int = 50
    may_install: bool = True
    corpus: Path | None = None
    modes: tuple[str, ...] = (CROSS_ENCODER,)

    def __post_init__(self) -> None:
        if unknown := set(self.modes) - set(MIN_RATIOS):
            raise InvalidRequestError(f"{sorted(unknown)} is no mode; choose from {', '.join(MIN_RATIOS)}", "modes")
        if not all(1 <= clients <= MAX_CLIENTS for clients in self.clients):
            raise InvalidRequestError(f"clients are {self.clients}; each is from 1 to {MAX_CLIENTS}", "clients")

    def as_quick(self) -> "PeersPlan":
        return replace(self, clients=(2,), turn_s=2.0, num_turns=1, num_compared=4, may_install=False)


@dataclass(frozen=True)
class Row:
    """One server under one number of clients. `ratio` is ragserve's queries a second over this server's, None for ours.

    `mode` is what the peers rerank with. `is_short`: ragserve misses the target against this server; the target is for
    TARGET_CLIENTS alone.
    """

    by: str
    clients: int
    per_s: float
    p50_ms: float
    p95_ms: float
    errors: int
    ratio: float | None = None
    is_short: bool = False
    note: str = ""
    mode: str = CROSS_ENCODER


def rows_of(
    clients: int, results: Mapping[str, LoadResult], notes: Mapping[str, str], mode: str = CROSS_ENCODER
) -> list[Row]:
    """A row a server, in the order of `results`, ragserve's among them."""
    rows = [_row(by, clients, result, notes.get(by, ""), mode) for by, result in results.items()]
    return [_compared(row, results[row.by], results[OURS]) for row in rows]


def _row(by: str, clients: int, result: LoadResult, note: str, mode: str) -> Row:
    note = "; ".join(message for message in (note, *result.messages) if message)
    times = result.p50_s * 1000, result.p95_s * 1000
    return Row(by, clients, result.per_s, *times, result.errors, note=note, mode=mode)


def _compared(row: Row, result: LoadResult, ours: LoadResult) -> Row:
    if row.by == OURS:
        return row
    ratio = ours.per_s / result.per_s if result.per_s else None
    is_short = row.clients == TARGET_CLIENTS and not reaches_target(ours, result, row.mode)
    return replace(row, ratio=ratio, is_short=is_short)


def reaches_target(ours: LoadResult, theirs: LoadResult, mode: str = CROSS_ENCODER) -> bool:
    """At least the mode's ratio of queries a second, a p95 no higher, and no errors of ours."""
    return ours.per_s >= MIN_RATIOS[mode] * theirs.per_s and ours.p95_s <= theirs.p95_s and not ours.errors


HEAD = (
    "| peers' reranking | clients | by | queries/s | p50 / p95 ms | errors | ragserve against it | target | note |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def table_row(row: Row) -> str:
    """A line of Markdown under HEAD. Rows below the target are marked."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}{' (short)' if row.is_short else ''}"
    target = (
        f"{MIN_RATIOS[row.mode]:g}, p95 no worse" if row.ratio is not None and row.clients == TARGET_CLIENTS else ""
    )
    times = f"{row.p50_ms:,.0f} / {row.p95_ms:,.0f}"
    cells = (row.mode, str(row.clients), row.by, f"{row.per_s:.2f}", times, str(row.errors), ratio, target)
    return f"| {' | '.join(cells)} | {' '.join(row.note.split()).replace('|', '/')} |"


def overlap(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]]) -> float:
    """The fraction of our passages that are also among theirs, in any order; the mean over the questions."""
    fractions = [
        len(set(our_ids) & set(their_ids)) / max(len(our_ids), 1)
        for our_ids, their_ids in zip(ours, theirs, strict=True)
    ]
    return sum(fractions) / max(len(fractions), 1)


def write_json(path: Path, rows: Sequence[Row], facts: Mapping[str, str]) -> None:
    """The rows, and the facts about machine, documents and servers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"facts": dict(facts), "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
