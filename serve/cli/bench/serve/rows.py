"""`ragserve bench serve`: the plan, a row a load, the targets, and the file of results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.errors.requests import InvalidRequestError
from serve.cli.bench.serve.limit import LibraryCosts
from serve.cli.driver.stage_times import RETRIEVAL, Percentiles

COLD, WARM, HALF = "unseen", "the same again", "unseen, at half of the peak"
TRACE, CACHED_TRACE = "skewed trace", "skewed trace, with caches"
TARGET_CLIENTS = 16
MAX_CLIENTS = 256
MIN_COLD_RATIO = 0.85  # questions a second, unseen over seen
MAX_RETRIEVAL_S = 0.3  # 95th percentile, unseen, at half of the peak
MAX_CPU_RATIO = 2.5  # CPU of a question over the libraries' sum
MIN_CACHED_RATIO = 1.5  # questions a second on the trace, with caches over without


@dataclass(frozen=True)
class ServePlan:
    """The loads. Each number of clients gets `num_turns` of unseen questions and, after each, the same ones again.

    All but the second trace run without caches of answers, retrieval and embeddings. `open_s` and `trace_s`: seconds of
    the open loop and of a trace; 0 leaves them out. `num_limit`: questions by which the libraries alone are measured.
    Raises InvalidRequestError for clients outside 1 to MAX_CLIENTS.
    """

    config: Path
    clients: tuple[int, ...] = (1, 16, 64)
    turn_s: float = 20.0
    num_turns: int = 3
    open_s: float = 60.0
    trace_s: float = 60.0
    warm_up_s: float = 10.0
    num_limit: int = 200

    def __post_init__(self) -> None:
        if not all(1 <= clients <= MAX_CLIENTS for clients in self.clients):
            raise InvalidRequestError(f"clients are {self.clients}; each is from 1 to {MAX_CLIENTS}", "clients")

    def as_quick(self) -> "ServePlan":
        sizes = replace(self, clients=(1, 4), num_turns=1, num_limit=20)
        return replace(sizes, turn_s=2.0, open_s=3.0, trace_s=3.0, warm_up_s=2.0)


@dataclass(frozen=True)
class LoadRow:
    """One load: the turn with the median throughput. `clients` is 0 for an open loop, which offered `offered` a second.

    `stages`: times of each stage, of RETRIEVAL and of the service's own total. `cpu_ms`: CPU of a question in each
    process. `degraded` and `failed` count all turns.
    """

    questions: str
    clients: int
    per_s: float
    num_answers: int
    total: Percentiles
    stages: dict[str, Percentiles]
    cpu_ms: dict[str, float]
    degraded: int
    failed: int
    offered: float = 0.0
    note: str = ""

    @property
    def cpu_sum_ms(self) -> float:
        return sum(self.cpu_ms.values())


@dataclass(frozen=True)
class Goal:
    """What the service must reach: `value` at most or at least `bound`."""

    name: str
    value: float
    bound: float
    is_upper: bool

    @property
    def is_met(self) -> bool:
        return self.value <= self.bound if self.is_upper else self.value >= self.bound


@dataclass(frozen=True)
class Results:
    """Everything that was measured. `limit` is None if the libraries were not."""

    rows: tuple[LoadRow, ...]
    limit: LibraryCosts | None = None

    def row(self, questions: str, clients: int | None = None) -> LoadRow | None:
        """The first row of these questions, of any number of clients for None."""
        rows = (row for row in self.rows if row.questions == questions and clients in (None, row.clients))
        return next(rows, None)

    def cold_ratio(self, clients: int) -> float | None:
        """Questions a second, unseen over seen; None without both."""
        cold, warm = self.row(COLD, clients), self.row(WARM, clients)
        return cold.per_s / warm.per_s if cold and warm and warm.per_s else None

    def goals(self) -> list[Goal]:
        """The goals whose loads were measured."""
        ratio, half, cold = self.cold_ratio(TARGET_CLIENTS), self.row(HALF), self.row(COLD, TARGET_CLIENTS)
        plain, cached = self.row(TRACE), self.row(CACHED_TRACE)
        goals = list[Goal]()
        if ratio is not None:
            goals.append(Goal("questions/s, unseen over the same again, 16 clients", ratio, MIN_COLD_RATIO, False))
        if half is not None and RETRIEVAL in half.stages:
            p95_s = half.stages[RETRIEVAL].p95_s
            goals.append(Goal("p95 of retrieval, unseen, at half of the peak, in s", p95_s, MAX_RETRIEVAL_S, True))
        if self.limit is not None and cold is not None:
            cpu_ratio = cold.cpu_sum_ms / self.limit.sum_ms
            goals.append(Goal("CPU of an unseen question over the libraries' sum", cpu_ratio, MAX_CPU_RATIO, True))
        if plain is not None and plain.per_s and cached is not None:
            name = "questions/s on the trace, with caches over without"
            goals.append(Goal(name, cached.per_s / plain.per_s, MIN_CACHED_RATIO, False))
        return goals


def write_json(path: Path, results: Results, turns: Sequence[LoadRow], facts: Mapping[str, str]) -> None:
    """The results, with the row of every turn and the facts about machine and corpus."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = asdict(results) | {
        "goals": [asdict(goal) | {"is_met": goal.is_met} for goal in results.goals()],
        "turns": [asdict(row) for row in turns],
        "facts": dict(facts),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
