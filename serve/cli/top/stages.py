"""A row for each stage, and the stage that holds the others back, in words."""

from dataclasses import dataclass

from serve.cli.top.samples import Interval

STAGES = ("embed", "dense", "lexical", "score_tokens", "rerank", "generate", "parse")
BUSY = 0.8  # of the time of its replicas
OUTSIDE_S = 0.1  # that callers wait, and that the replica does not know of


@dataclass(frozen=True)
class StageRow:
    """A stage in the last interval. Times in seconds; None where nothing ran. Shares from 0 to 1.

    `queue_s` and `compute_s` are p95 inside the replicas; `p50_s`, `p95_s` and `p99_s` are those of the callers.
    `busy` is the share of the replicas' time in batches; `degraded` that of the answers that lost the stage.
    """

    stage: str
    replicas: int
    ongoing: int
    calls_per_s: float
    batch_size: float | None
    queue_s: float | None
    compute_s: float | None
    busy: float
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    dropped: int
    degraded: float
    share: float


def stage_rows(interval: Interval) -> list[StageRow]:
    """One row for each stage that has a replica or was called."""
    rows = [_row(interval, stage) for stage in STAGES]
    return [row for row in rows if row.replicas or row.calls_per_s or row.share]


def _row(interval: Interval, stage: str) -> StageRow:
    answers = interval.increase("question_seconds_count")
    replicas = int(interval.after.total("replicas", stage=stage))
    busy_s = interval.increase("stage_compute_seconds_sum", stage=stage)
    p50_s, p95_s, p99_s = (interval.quantile(share, "stage_seconds", stage=stage) for share in (0.5, 0.95, 0.99))
    questions_s = interval.increase("question_stage_seconds_sum")
    return StageRow(
        stage=stage,
        replicas=replicas,
        ongoing=int(interval.after.total("stage_ongoing_requests", stage=stage)),
        calls_per_s=interval.increase("stage_seconds_count", stage=stage) / interval.seconds,
        batch_size=interval.mean("stage_batch_size", stage=stage),
        queue_s=interval.quantile(0.95, "stage_queue_seconds", stage=stage),
        compute_s=interval.quantile(0.95, "stage_compute_seconds", stage=stage),
        busy=busy_s / interval.seconds / max(1, replicas),
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        dropped=int(interval.increase("stage_dropped_total", stage=stage)),
        degraded=interval.increase("degraded_answers_total", stage=stage) / answers if answers else 0.0,
        share=interval.increase("question_stage_seconds_sum", stage=stage) / questions_s if questions_s else 0.0,
    )


def summary(interval: Interval) -> str:
    """Questions a second, their p95, and refusals."""
    answers = interval.increase("question_seconds_count")
    p95_s = interval.quantile(0.95, "question_seconds")
    refused = interval.increase("admission_refused_total")
    text = f"{answers / interval.seconds:.1f} questions a second"
    if p95_s is not None:
        text += f", p95 {seconds_text(p95_s)}"
    return text + (f", {refused:.0f} refused at the limit" if refused else "")


def bottleneck(interval: Interval, rows: list[StageRow]) -> str:
    """What holds questions back: the stage with most of their time, and why."""
    if not interval.increase("question_seconds_count"):
        busiest = max(rows, key=lambda row: row.busy, default=None)
        if busiest is None or busiest.busy < BUSY:
            return f"no question ended in this interval{_under_way(interval)}"
        return f"no question ended; {busiest.stage} is busy {100 * min(1.0, busiest.busy):.0f} % of the time"
    overhead_s = interval.increase("question_stage_seconds_sum", stage="overhead")
    overhead = overhead_s / max(1e-9, interval.increase("question_stage_seconds_sum"))
    slowest = max(rows, key=lambda row: row.share, default=None)
    if slowest is None or slowest.share <= overhead:
        return f"the ingress is the bottleneck: {100 * overhead:.0f} % of a question's time is in no stage"
    return f"{slowest.stage} is the bottleneck: {100 * slowest.share:.0f} % of a question's time{_reason(slowest)}"


def _under_way(interval: Interval) -> str:
    """Requests that wait for their answer: many of them without an end are a service that stands still."""
    num_requests = int(interval.after.total("admission_ongoing_requests"))
    return f"; requests under way: {num_requests}" if num_requests else ""


def _reason(row: StageRow) -> str:
    """Why the stage is slow: its queue, its work, or neither."""
    if row.queue_s is None or row.compute_s is None:
        return ""
    work = f"{seconds_text(row.queue_s)} in its queue and {seconds_text(row.compute_s)} of work at p95"
    outside_s = (row.p95_s or 0.0) - row.queue_s - row.compute_s
    if row.busy < BUSY and outside_s > max(OUTSIDE_S, row.queue_s + row.compute_s):
        return f"; its callers wait {seconds_text(row.p95_s or 0.0)}, and it has {work}: its process gets no core"
    replicas = f"{row.replicas} replica{'s' if row.replicas != 1 else ''}"
    advice = f"; {replicas} busy {100 * min(1.0, row.busy):.0f} % of the time"
    return f"; {work}{advice}" + (": add replicas" if row.busy >= BUSY else "")


def seconds_text(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
