"""What `ragserve bench models` and `ragserve bench gpu` do with their rows: print, keep, draw."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from serve.cli.bench.models.rows import HEAD, Plan, Row, table_row, write_json
from serve.cli.bench.models.run import caption, describe_machine, run

Rows = Callable[[Plan, Path, Callable[[str], None]], Iterator[Row]]


def measure(plan: Plan, output: Path | None, plot: Path | None, console: Console, rows: Rows = run) -> None:
    """Prints the table; what was measured is kept even if a later group fails."""
    # Ends as Ctrl-C does, so that no server stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    machine = describe_machine(plan)
    found: list[Row] = []
    try:
        with TemporaryDirectory() as folder:
            for row in rows(plan, Path(folder), lambda line: console.print(line, style="dim", markup=False)):
                found.append(row)
                console.print(table_row(row), style="dim", markup=False)
    finally:
        console.print("\n".join([caption(plan, machine), "", HEAD, *map(table_row, found)]), markup=False)
        if output is not None:
            write_json(output, found, machine)
        if plot is not None and found:
            from serve.cli.bench.models.plot import draw

            draw(found, plot)
