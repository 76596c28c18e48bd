"""What a bulk run shows while it works: a bar on a terminal, a line every ten seconds elsewhere."""

from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from serve.cli.ingest.bulk.state import Pace, Tally

LINE_EVERY_S = 10.0


class View(Protocol):
    """Shows the state of a run. Its `with` block ends the display."""

    def __enter__(self) -> "View": ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, seconds: float, tally: Tally, total: int | None, pace: Pace) -> None:
        """`seconds` since the start of the run. `total` is None while the documents are still counted."""


def view_on(console: Console) -> View:
    return BarView(console) if console.is_terminal else LineView(console)


class BarView:
    """A progress bar with rates and the time left."""

    def __init__(self, console: Console) -> None:
        columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> "BarView":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, seconds: float, tally: Tally, total: int | None, pace: Pace) -> None:
        self._progress.update(self._task, completed=tally.done, total=total, description=describe(tally, total, pace))


class LineView:
    """A plain line now and then."""

    def __init__(self, console: Console) -> None:
        self._console, self._next_s = console, LINE_EVERY_S

    def __enter__(self) -> "LineView":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def show(self, seconds: float, tally: Tally, total: int | None, pace: Pace) -> None:
        if seconds >= self._next_s:
            self._next_s = seconds + LINE_EVERY_S
            self._console.print(f"{seconds:.0f} s: {describe(tally, total, pace)}", markup=False)


def describe(tally: Tally, total: int | None, pace: Pace) -> str:
    """The state in one line."""
    files = f"{tally.done:,} files" if total is None else f"{tally.done:,} of {total:,} files"
    failed = f", {tally.failed:,} failed" if tally.failed else ""
    left = "" if pace.left_s is None else f", {duration(pace.left_s)} left"
    return f"{files}{failed}, {pace.files_per_s:.1f} files/s, {pace.chunks_per_s:.1f} chunks/s{left}"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
