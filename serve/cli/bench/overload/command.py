"""The command `ragserve bench overload`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import (
    ClientsOption,
    CorpusOption,
    OutputOption,
    PlotOption,
    QuickOption,
    TurnsOption,
    decimals,
    numbers,
)
from serve.cli.options import DEFAULT_CONFIG, ConfigOption


# A command's options are its arguments.
def overload_command(  # noqa: PLR0913
    clients: ClientsOption = "4,8,16,32",
    shares: Annotated[
        str, typer.Option(help="Rates of the open loops, as multiples of the peak, separated by commas.")
    ] = "0.5,1,1.5,2",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of a turn.", min=2, max=300)] = 15.0,
    num_turns: TurnsOption = 3,
    answer_s: Annotated[
        float,
        typer.Option(help="Seconds without an answer after which a request hangs: query.total_s and a grace period."),
    ] = 70.0,
    documents: Annotated[
        list[Path] | None, typer.Option(help="Files or folders to ask about; default: README.md and docs.")
    ] = None,
    questions: Annotated[Path, typer.Option(help="File with one question per line.")] = Path("loadtests/questions.txt"),
    corpus: CorpusOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    output: OutputOption = None,
    plot: PlotOption = None,
    quick: QuickOption = False,
) -> None:
    """The service at up to twice its peak load: goodput, refusals, and hanging requests."""
    from serve.cli.bench.overload.findings import OverloadPlan
    from serve.cli.bench.overload.run import measure

    plan = OverloadPlan(
        config,
        tuple(documents or (Path("README.md"), Path("docs"))),
        questions,
        numbers(clients, "clients"),
        decimals(shares, "shares"),
        turn_s,
        num_turns,
        answer_s,
        corpus=corpus,
    )
    measure(plan.as_quick() if quick else plan, output, plot)
