"""The command `ragserve check-config`. Exits with 2 if the file is invalid."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.options import DEFAULT_CONFIG, console, errors


def check_config(
    config: Annotated[Path, typer.Argument(help="Deployment file.", dir_okay=False)] = DEFAULT_CONFIG,
    cpus: Annotated[float | None, typer.Option(help="CPUs of the cluster; default: this machine's.", min=0)] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs of the cluster; default: this machine's.", min=0)] = None,
) -> None:
    """Check the deployment file: keys, values, models and resources.

    Prints every problem and exits with 2, or prints `ok`.
    """
    from deployments.cluster import environment

    environment.apply()  # before Ray is imported
    from deployments.cluster.start import ClusterSize
    from models.errors.configuration import ConfigError
    from serve.config_file import Machine, check, read
    from serve.local_config import check_here

    here = ClusterSize.of_this_machine()
    machine = Machine(here.num_cpus if cpus is None else cpus, here.num_gpus if gpus is None else gpus)
    try:
        raw = read(config)
    except ConfigError as error:
        errors.print(str(error), markup=False)
        raise typer.Exit(2) from None
    problems = check(raw, machine) or check_here(raw)
    for problem in problems:
        errors.print(f"{config}: {problem}", markup=False)
    if problems:
        raise typer.Exit(2)
    console.print(f"{config}: ok")
