"""Ways to do the same work, timed in alternating turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """A way to do a work, and its rate: the median of the turns. `gain` is ragserve's rate over this one's."""

    what: str
    by: str
    unit: str
    per_s: float
    gain: float | None = None


@dataclass(frozen=True)
class Side:
    """ragserve's ways, or the other library's: batch sizes of the same work, of which the fastest counts."""

    name: str
    ways: Mapping[str, Work]


def compare(what: str, unit: str, num_items: int, sides: tuple[Side, Side], turn_s: float, num_turns: int) -> list[Row]:
    """Two rows: ours first. Each way is tried once, then the best of both sides take turns."""
    best = [max(side.ways, key=lambda name, side=side: rate(side.ways[name], 0.0)) for side in sides]  # type: ignore[misc]
    rates: list[list[float]] = [[], []]
    for _ in range(num_turns):
        for place, side in enumerate(sides):
            rates[place].append(num_items * rate(side.ways[best[place]], turn_s))
    ours, theirs = (statistics.median(turns) for turns in rates)
    names = [f"{side.name}, {way}" if way else side.name for side, way in zip(sides, best, strict=True)]
    return [Row(what, names[0], unit, ours), Row(what, names[1], unit, theirs, ours / theirs)]


def rate(work: Work, seconds: float) -> float:
    """Calls a second, for at least `seconds` and one call; one more before them is not timed."""
    work()
    start, count = time.perf_counter(), 0
    while not count or time.perf_counter() - start < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - start)


def table(rows: list[Row]) -> list[str]:
    """The rows as Markdown."""
    lines = ["| what | by | | ragserve against it |", "|---|---|---|---|"]
    for row in rows:
        gain = "" if row.gain is None else f"{row.gain:.2f}"
        lines.append(f"| {row.what} | {row.by} | {row.per_s:,.0f} {row.unit} | {gain} |")
    return lines
