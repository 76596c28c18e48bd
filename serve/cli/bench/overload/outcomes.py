"""How the requests of an open loop ended: whole or degraded answers, refusals, failures; and the summary of a turn."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from serve.cli.driver.closed_loop import percentile
from serve.cli.driver.open_loop import UNANSWERED, UNSENT, OpenLoopResult, Record

WHOLE, DEGRADED, BROKEN = "whole", "degraded", "broken"
REFUSALS = (429, 503)
OK = 200


@dataclass(frozen=True)
class OfferResult:
    """`whole` and `degraded` are answers a second; `offered` is requests a second. Counts are of the whole turn.

    `refused`: by status and code. `untyped`: refusals without our code or without Retry-After. `failed`: any other
    answer, by status and code. Times in seconds, of whole answers; `lag_s` is how late the driver itself was.
    """

    offered: float
    whole: float
    degraded: float
    requests: int
    refused: dict[str, int]
    untyped: int
    failed: dict[str, int]
    unanswered: int
    unsent: int
    p50_s: float
    p95_s: float
    p99_s: float
    refusal_p99_s: float
    lag_s: float
    driver_cpu: float


def kind_of(record: Record) -> str:
    """WHOLE, DEGRADED, UNSENT, UNANSWERED, BROKEN with an exception's name, or the status with the error's code."""
    if not record.status:
        is_counted = record.error in (UNSENT, UNANSWERED)
        return record.error if is_counted else f"{BROKEN}: {record.error.partition(':')[0]}"
    if record.status == OK and record.is_degraded is not None:
        return DEGRADED if record.is_degraded else WHOLE
    return f"{record.status} {record.error_code or 'without a code'}"


def is_untyped(record: Record) -> bool:
    """Whether a client cannot read this refusal."""
    return record.status in REFUSALS and not (record.error_code and record.has_retry_after)


def summarise(result: OpenLoopResult, seconds: float, warm_s: float) -> OfferResult:
    """The summary of a turn of `seconds`; all times count from when a request was due.

    Only what ends after `warm_s` and within `seconds` counts as throughput: the first requests meet an empty service,
    and no others follow the last ones.
    """
    records = result.records
    kinds = Counter(map(kind_of, records))
    counted = Counter(kind_of(record) for record in records if warm_s <= record.ended_s < seconds)
    whole = _times(record for record in records if kind_of(record) == WHOLE and record.due_s >= warm_s)
    refused = Counter(kind_of(record) for record in records if record.status in REFUSALS)
    failed = kinds - refused
    for kind in (WHOLE, DEGRADED, UNANSWERED, UNSENT):
        failed.pop(kind, None)
    return OfferResult(
        offered=len(records) / seconds,
        whole=counted[WHOLE] / (seconds - warm_s),
        degraded=counted[DEGRADED] / (seconds - warm_s),
        requests=len(records),
        refused=dict(refused),
        untyped=sum(map(is_untyped, records)),
        failed=dict(failed),
        unanswered=kinds[UNANSWERED],
        unsent=kinds[UNSENT],
        p50_s=percentile(whole, 0.5),
        p95_s=percentile(whole, 0.95),
        p99_s=percentile(whole, 0.99),
        refusal_p99_s=percentile(_times(record for record in records if record.status in REFUSALS), 0.99),
        lag_s=percentile(sorted(record.sent_s - record.due_s for record in records), 0.99),
        driver_cpu=result.driver_cpu,
    )


def _times(records: Iterable[Record]) -> list[float]:
    return sorted(record.ended_s - record.due_s for record in records)
