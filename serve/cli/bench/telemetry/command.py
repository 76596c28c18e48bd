"""The command `ragserve bench telemetry`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show, show_progress


def telemetry_command(
    documents: Annotated[
        list[Path] | None, typer.Option(help="Files or folders to ask about; default: README.md and docs.")
    ] = None,
    questions: Annotated[Path, typer.Option(help="File with one question per line.")] = Path("loadtests/questions.txt"),
    clients: Annotated[int, typer.Option(help="Clients in a closed loop.", min=1, max=256)] = 16,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of a turn.", min=0.5, max=600)] = 10.0,
    num_pairs: Annotated[int, typer.Option("--pairs", help="Turns with, and turns without.", min=2, max=99)] = 8,
    quick: QuickOption = False,
) -> None:
    """Cost of metrics, traces (10 % sampled, to a receiver) and JSON logs with the access log, at full load."""
    from serve.cli.bench.telemetry.run import TelemetryPlan, run

    sources = tuple(documents or (Path("README.md"), Path("docs")))
    plan = TelemetryPlan(sources, questions, clients, turn_s, num_pairs)
    with TemporaryDirectory() as temporary:
        for line in run(plan.as_quick() if quick else plan, Path(temporary), show_progress):
            show(line)
