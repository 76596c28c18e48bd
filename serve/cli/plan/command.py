"""The command `ragserve plan`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console

if TYPE_CHECKING:
    from serve.cli.capacity.profile import Profile

TABLE_WIDTH = 120  # where no terminal says how wide it is


# A command's options are its arguments.
def plan_command(  # noqa: PLR0913
    queries_per_s: Annotated[float, typer.Option("--qps", help="Queries a second to bear.", min=0.001)],
    latency_s: Annotated[float, typer.Option("--latency", help="Seconds that 95 of 100 answers keep.", min=0.001)],
    chunks: Annotated[int, typer.Option(help="Chunks in all vector stores.", min=1)] = 100_000,
    config: Annotated[Path, typer.Option("--config", "-c", help="The deployment file.", dir_okay=False)] = Path(
        "serve_config.yaml"
    ),
    hardware: Annotated[
        Path | None, typer.Option(help="Classes of nodes and their prices; else this machine.", dir_okay=False)
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Times of the stages; else they are measured here.", dir_okay=False)
    ] = None,
    utilization: Annotated[
        float, typer.Option(help="Share of its capacity that a stage may be given.", min=0.05, max=0.95)
    ] = 0.8,
    save_profile: Annotated[Path | None, typer.Option(help="Keep what was measured.", dir_okay=False)] = None,
    write: Annotated[Path | None, typer.Option(help="The deployment file with the plan in it.", dir_okay=False)] = None,
) -> None:
    """How many replicas, where, in what batches and at what cost a target takes; what would be the bottleneck."""
    from deployments.cluster import environment

    environment.apply()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as Ray gives it to a replica with a share of a core
    from serve.cli.capacity.hardware import Hardware, this_machine
    from serve.cli.capacity.plan import Target
    from serve.cli.capacity.profile import Profile
    from serve.cli.capacity.solve import solve
    from serve.cli.plan.report import show
    from serve.cli.plan.write import laid_over
    from serve.config_file import read

    console = Console(highlight=False, soft_wrap=True)
    target = Target(queries_per_s=queries_per_s, latency_s=latency_s, chunks=chunks, utilization=utilization)
    times = Profile.read(profile) if profile else _measured(config, console)
    if save_profile is not None:
        times.write(save_profile)
    found = solve(times, target, Hardware.read(hardware) if hardware else this_machine())
    show(found, console if console.is_terminal else Console(highlight=False, width=TABLE_WIDTH))
    if write is not None:
        write.write_text(yaml.safe_dump(laid_over(read(config), found), sort_keys=False, width=TABLE_WIDTH))
        console.print(f"written: {write}", markup=False)


def _measured(config: Path, console: Console) -> "Profile":
    from serve.cli.capacity.hardware import HERE
    from serve.cli.capacity.measure import MeasurePlan, measure

    return measure(config, MeasurePlan(), HERE, lambda line: console.print(f"measuring {line}", style="dim"))
