"""The command `ragserve bench standby`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from serve.cli.driver.options import FolderOption, QuickOption, show, show_progress
from serve.cli.options import DEFAULT_CONFIG, ConfigOption


# A command's options are its arguments.
def standby_command(
    chunks: Annotated[int, typer.Option(help="Number of chunks.", min=100, max=10_000_000)] = 100_000,
    uploads: Annotated[int, typer.Option(help="Uploads that are acknowledged before the kill.", min=1)] = 100,
    synchronous: Annotated[
        bool, typer.Option(help="Acknowledge what the standby's database has too; else what the primary's has.")
    ] = True,
    config: ConfigOption = DEFAULT_CONFIG,
    folder: FolderOption = None,
    quick: QuickOption = False,
) -> None:
    """Kill a service with its PostgreSQL server under uploads: how long until the hot standby answers and takes writes.

    Needs PostgreSQL's server programs. Exits with 2 if an acknowledged upload was lost with --synchronous.
    """
    from serve.cli.bench.standby.run import StandbyPlan, lines, measure
    from serve.cli.bench.standby.space import vector_space

    plan = StandbyPlan(config, vector_space(config), chunks, uploads, synchronous)
    with TemporaryDirectory(dir=folder) as temporary:
        result = measure(plan.as_quick() if quick else plan, Path(temporary), show_progress)
    show(*lines(result))
    if synchronous and result.num_lost:
        raise typer.Exit(2)
