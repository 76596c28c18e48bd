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
    clients: Annotated[int, typer.Option(help="Questions that are sent at once.", min=1, max=256)] = 16,
    num_pairs: Annotated[
        int, typer.Option("--pairs", help="Bursts of questions with telemetry, and as many without.", min=2, max=9999)
    ] = 200,
    quick: QuickOption = False,
) -> None:
    """Cost of metrics, traces (sampled as shipped, to a receiver) and JSON logs with the access log, at full load."""
    from serve.cli.bench.telemetry.run import TelemetryPlan, run

    sources = tuple(documents or (Path("README.md"), Path("docs")))
    plan = TelemetryPlan(sources, questions, clients, num_pairs)
    with TemporaryDirectory() as temporary:
        for line in run(plan.as_quick() if quick else plan, Path(temporary), show_progress):
            show(line)
