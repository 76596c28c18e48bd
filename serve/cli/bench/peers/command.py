"""What `ragserve bench peers` does with its rows: print, keep, draw."""

import signal
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from serve.cli.bench.models.run import describe_machine
from serve.cli.bench.peers.rows import HEAD, PeersPlan, Row, table_row, write_json
from serve.cli.bench.peers.run import run


def measure(plan: PeersPlan, output: Path | None, plot: Path | None, console: Console) -> None:
    """Prints the table; what was measured is kept even if a later row fails."""
    # Ends as Ctrl-C does, so that no server stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    facts = describe_machine(plan.of_servers())
    found: list[Row] = []
    try:
        with TemporaryDirectory() as folder:
            for row in run(plan, Path(folder), lambda line: console.print(line, style="dim", markup=False), facts):
                found.append(row)
                console.print(table_row(row), style="dim", markup=False)
    finally:
        caption = "; ".join(f"{name}: {value}" for name, value in facts.items())
        console.print("\n".join([caption, "", HEAD, *map(table_row, found)]), markup=False)
        if output is not None:
            write_json(output, found, facts)
        if plot is not None and found:
            from serve.cli.bench.peers.plot import draw

            draw(found, plot)
