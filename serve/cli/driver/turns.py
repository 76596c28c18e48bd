"""Measurement in interleaved turns, so that other work on the machine affects all contenders equally."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.servers import HOST, Server

T = TypeVar("T")

MAX_WARM_UP_S = 2.0


@dataclass(frozen=True)
class Target:
    """At least `bound` times the other's throughput; with `is_difference`, at most `bound` ms more than the other."""

    bound: float
    is_difference: bool = False

    def compare(self, ours: float, theirs: float) -> float:
        return ours - theirs if self.is_difference else ours / theirs

    def is_met(self, compared: float) -> bool:
        return compared <= self.bound if self.is_difference else compared >= self.bound


@dataclass(frozen=True)
class Contender:
    """A server or a model that is compared. `turn` measures it for a number of seconds.

    `target` is what ragserve must reach against it; `note` is read after the last turn.
    """

    name: str
    turn: Callable[[float], LoadResult]
    target: Target | None = None
    note: Callable[[], str] = str


def run_interleaved(contenders: Sequence[Contender], turn_s: float, num_turns: int) -> dict[str, LoadResult]:
    """For each contender, by name: its turn with the median throughput, and the errors of all its turns."""
    for contender in contenders:
        # Warms up: connections, first batches, the offline search for a batch size.
        contender.turn(min(MAX_WARM_UP_S, turn_s))
    results: dict[str, list[LoadResult]] = {contender.name: [] for contender in contenders}
    for _ in range(num_turns):
        for contender in contenders:
            results[contender.name].append(contender.turn(turn_s))
    return {name: median_result(turns) for name, turns in results.items()}


def median_result(turns: Sequence[LoadResult]) -> LoadResult:
    """The turn with the median throughput, with the errors and messages of all."""
    messages = dict.fromkeys(message for turn in turns for message in turn.messages)
    errors = sum(turn.errors for turn in turns)
    return replace(median_by(turns, lambda turn: turn.per_s), errors=errors, messages=tuple(messages))


def median_by(rows: Sequence[T], key: Callable[[T], float]) -> T:
    """The row with the median key; the lower one of two."""
    middle = statistics.median_low(map(key, rows))
    return next(row for row in rows if key(row) == middle)


@dataclass
class Cursor:
    """The line at which the next turn starts, so that no body is sent twice."""

    line: int


def served(name: str, server: Server, load: Load, target: Target | None = None, note: str = "") -> Contender:
    """A server under `load`; host, port and seconds are filled in here."""
    cursor = Cursor(load.first)

    def turn(seconds: float) -> LoadResult:
        result = drive(replace(load, host=HOST, port=server.port, seconds=seconds, first=cursor.line))
        if not load.repeats:
            cursor.line += result.requests + result.errors
        return result

    return Contender(name, turn, target, lambda: note)
