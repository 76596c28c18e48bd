"""What `ragserve bench step` does with a run: print, keep, draw."""

import signal
from pathlib import Path

from rich.console import Console

from serve.cli.bench.step.run import STAGES, StepPlan, run
from serve.cli.bench.step.summary import head


def measure(plan: StepPlan, output: Path | None, plot: Path | None, console: Console) -> None:
    """Runs the step and prints a row a phase."""
    # Ends as Ctrl-C does, so that neither the load nor Ray stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = run(plan, lambda line: console.print(line, style="dim", markup=False))
    lines = [head([stage.name for stage in STAGES]), *(row.line() for row in result.rows), "", result.caption()]
    console.print("\n".join(lines), markup=False)
    if output is not None:
        result.write(output)
    if plot is not None:
        from serve.cli.bench.step.plot import draw

        draw(result, plot)
