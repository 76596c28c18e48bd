"""The command `ragserve bench starve`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import OutputOption, QuickOption
from serve.cli.options import DEFAULT_CONFIG, ConfigOption


# A command's options are its arguments.
def starve_command(  # noqa: PLR0913
    per_s: Annotated[float, typer.Option(help="Questions a second.", min=0.1, max=100)] = 1.0,
    phase_s: Annotated[float, typer.Option("--seconds", help="Length of each phase.", min=5, max=600)] = 60.0,
    burners: Annotated[int, typer.Option(help="Busy processes a core.", min=1, max=16)] = 2,
    budget_s: Annotated[float, typer.Option(help="The service's query.total_s.", min=1, max=3600)] = 60.0,
    documents: Annotated[
        list[Path] | None, typer.Option(help="Files or folders to ask about; default: README.md and docs.")
    ] = None,
    questions: Annotated[Path, typer.Option(help="File with one question per line.")] = Path("loadtests/questions.txt"),
    config: ConfigOption = DEFAULT_CONFIG,
    output: OutputOption = None,
    quick: QuickOption = False,
) -> None:
    """Questions while other processes take every core: answers, restarts, and the time to recover.

    Exits with 2 if a question was lost or a replica restarted.
    """
    from serve.cli.bench.starve.findings import StarvePlan
    from serve.cli.bench.starve.run import measure

    sources = tuple(documents or (Path("README.md"), Path("docs")))
    plan = StarvePlan(config, sources, questions, per_s, phase_s, burners, budget_s)
    measure(plan.as_quick() if quick else plan, output)
