"""The loads of `ragserve bench serve`: unseen questions, the same again, an open loop, and a skewed trace."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.errors.requests import InvalidRequestError
from serve.cli.bench.serve.rows import CACHED_TRACE, COLD, HALF, TARGET_CLIENTS, WARM, LoadRow, ServePlan
from serve.cli.driver.caches import cache_counts, describe_hits
from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.corpus.real import SetQuestion
from serve.cli.driver.corpus.serving import QUERY_PATH
from serve.cli.driver.open_loop import Arrivals, OpenLoad, Phase, drive_open
from serve.cli.driver.process_cpu import cpu_seconds
from serve.cli.driver.question_trace import shape_of
from serve.cli.driver.servers import HOST, Server
from serve.cli.driver.stage_times import Percentiles, stage_percentiles
from serve.cli.driver.turns import median_by
from serve.cli.driver.workload import write_bodies

MAX_WARM_TURNS = 3  # what was sized by another load's speed may take this many times its time
ANSWER_S = 70.0  # query.total_s and a grace period
WARM_UP_CLIENTS = 8
SPARE = 1.5  # of the requests that a Poisson process is expected to send
OK = 200


@dataclass
class Unseen:
    """Questions that were not sent yet. Each is handed out once."""

    questions: Sequence[SetQuestion]
    num_sent: int = 0

    def drop_last(self, count: int) -> None:
        self.questions = self.questions[: len(self.questions) - count]

    @property
    def left(self) -> Sequence[SetQuestion]:
        """Raises InvalidRequestError if there is none."""
        if self.num_sent >= len(self.questions):
            problem = f"all {len(self.questions):,} questions were sent; choose fewer turns or seconds, or more sets"
            raise InvalidRequestError(problem, "turns")
        return self.questions[self.num_sent :]


@dataclass
class Session:
    """The service under load. `turns` collects the row of every turn."""

    plan: ServePlan
    server: Server
    folder: Path
    unseen: Unseen
    report: Callable[[str], None]
    turns: list[LoadRow] = field(default_factory=list)

    def warm_up(self) -> None:
        """Connections, first batches, estimates of batch times. Sends the last questions, which no load sends then."""
        result, _ = self._drive(self.unseen.left[::-1], WARM_UP_CLIENTS, self.plan.warm_up_s)
        self.unseen.drop_last(_num_sent(result))

    def cold_and_warm(self, clients: int) -> list[LoadRow]:
        """Turns of unseen questions, each followed by the same ones again, in the same order; the median of each."""
        rows: dict[str, list[LoadRow]] = {COLD: [], WARM: []}
        for _ in range(self.plan.num_turns):
            questions = self.unseen.left
            cold, cold_cpu = self._drive(questions, clients, self.plan.turn_s)
            self.unseen.num_sent += _num_sent(cold)
            again = questions[: _num_sent(cold)]
            warm, warm_cpu = self._drive(again, clients, MAX_WARM_TURNS * self.plan.turn_s)
            rows[COLD].append(self._row(COLD, clients, cold, cold_cpu))
            rows[WARM].append(self._row(WARM, clients, warm, warm_cpu))
        return [median_row(turns) for turns in rows.values()]

    def half_of_peak(self, peak: float) -> LoadRow:
        """Unseen questions at random times, half as many a second as the closed loops' best."""
        rate = peak / 2
        questions = self.unseen.left[: max(1, int(SPARE * rate * self.plan.open_s))]
        bodies = self._write(questions)
        phase = Phase(self.plan.open_s, (Arrivals(QUERY_PATH, str(bodies), rate),))
        before = cpu_seconds(self.server.pid)
        result = drive_open(OpenLoad(HOST, self.server.port, (phase,), ANSWER_S))
        cpu = _difference(before, cpu_seconds(self.server.pid))
        self.unseen.num_sent += min(len(result.records), len(questions))
        good = [record for record in result.records if record.status == OK]
        last_s = max((record.ended_s for record in good), default=self.plan.open_s)
        return self._added(
            LoadRow(
                HALF,
                0,
                len(good) / max(last_s, self.plan.open_s),
                len(good),
                Percentiles.of(record.ended_s - record.due_s for record in good),
                stage_percentiles([record.timings for record in good]),
                _per_question(cpu, len(good)),
                sum(bool(record.is_degraded) for record in good),
                len(result.records) - len(good),
                offered=len(result.records) / self.plan.open_s,
            )
        )

    def trace(self, trace: Sequence[SetQuestion], name: str, clients: int = TARGET_CLIENTS) -> LoadRow:
        """A skewed trace, whole: its first requests alone have another shape."""
        before = cache_counts(self.server.url)
        seconds = MAX_WARM_TURNS * self.plan.trace_s
        result, cpu = self._drive(trace, clients, seconds, use_caches=name == CACHED_TRACE)
        shape = shape_of(trace[: max(1, _num_sent(result))])
        notes = [
            *result.messages,
            f"{shape.repeated:.1%} repeat exactly; 5 % of the documents take {shape.top_share:.0%}",
            describe_hits(before, cache_counts(self.server.url)),
        ]
        return self._row(name, clients, result, cpu, "; ".join(filter(None, notes)))

    def _drive(
        self, questions: Sequence[SetQuestion], clients: int, seconds: float, use_caches: bool = False
    ) -> tuple[LoadResult, dict[str, float]]:
        """Sends each question once, for at most `seconds`; also returns the CPU seconds of each process."""
        load = Load(HOST, self.server.port, QUERY_PATH, str(self._write(questions)), clients, seconds)
        before = cpu_seconds(self.server.pid)
        result = drive(replace(load, repeats=False, reads_answers=True, use_caches=use_caches))
        return result, _difference(before, cpu_seconds(self.server.pid))

    def _write(self, questions: Sequence[SetQuestion]) -> Path:
        bodies: list[dict[str, object]] = [{"query": question.text} for question in questions]
        return write_bodies(self.folder / "bodies.jsonl", bodies)

    def _row(self, questions: str, clients: int, result: LoadResult, cpu: dict[str, float], note: str = "") -> LoadRow:
        return self._added(
            LoadRow(
                questions,
                clients,
                result.per_s,
                result.requests,
                Percentiles(result.p50_s, result.p95_s, result.p99_s),
                stage_percentiles(result.timings),
                _per_question(cpu, result.requests),
                result.degraded,
                result.errors,
                note=note or "; ".join(result.messages),
            )
        )

    def _added(self, row: LoadRow) -> LoadRow:
        self.turns.append(row)
        by = f"{row.clients} clients" if row.clients else f"{row.offered:.1f}/s offered"
        self.report(f"{row.questions}, {by}: {row.per_s:.1f}/s, CPU {row.cpu_sum_ms:.0f} ms a question {row.note}")
        return row


def median_row(turns: Sequence[LoadRow]) -> LoadRow:
    """The turn with the median throughput, with the degraded and failed answers of all turns."""
    degraded, failed = sum(turn.degraded for turn in turns), sum(turn.failed for turn in turns)
    return replace(median_by(turns, lambda turn: turn.per_s), degraded=degraded, failed=failed)


def _num_sent(result: LoadResult) -> int:
    return result.requests + result.errors


def _difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    # A process that has ended in between has no later time.
    return {name: max(0.0, seconds - before.get(name, 0.0)) for name, seconds in after.items()}


def _per_question(cpu: dict[str, float], num_answers: int) -> dict[str, float]:
    """CPU milliseconds of a question by process."""
    return {name: 1000 * seconds / max(1, num_answers) for name, seconds in cpu.items()}
