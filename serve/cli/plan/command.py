"""The command `ragserve plan`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serve.cli.options import DEFAULT_CONFIG, ConfigOption, console, table_console

if TYPE_CHECKING:
    from serve.cli.capacity.hardware import Hardware
    from serve.cli.capacity.plan import Plan
    from serve.cli.capacity.profile import Profile

QpsOption = Annotated[float, typer.Option("--qps", help="Target load, in queries per second.", min=0.001, max=1e6)]
LatencyOption = Annotated[
    float, typer.Option("--latency", help="Target 95th percentile of the answer time, in seconds.", min=0.001, max=3600)
]
ChunksOption = Annotated[int, typer.Option(help="Number of chunks in all vector stores.", min=1, max=10**10)]
HardwareOption = Annotated[
    Path | None, typer.Option(help="YAML file of node classes and prices; default: this machine.", dir_okay=False)
]
ProfileOption = Annotated[
    Path | None, typer.Option(help="YAML file of stage times; default: measure them here.", dir_okay=False)
]
PricesOption = Annotated[
    Path | None, typer.Option(help="YAML file of prices; default: those of the hardware file.", dir_okay=False)
]
TokenBytesOption = Annotated[
    float | None,
    typer.Option(help="Bytes of stored token vectors per chunk; default: the profile's. 0: none.", min=0, max=1e6),
]
UtilizationOption = Annotated[
    float, typer.Option(help="Highest load of a stage, as a fraction of its capacity.", min=0.05, max=0.95)
]
SaveProfileOption = Annotated[
    Path | None, typer.Option(help="Write the measured stage times to this file.", dir_okay=False)
]
WriteOption = Annotated[
    Path | None, typer.Option(help="Write the deployment file with the plan applied to this file.", dir_okay=False)
]


# A command's options are its arguments.
def plan(  # noqa: PLR0913
    queries_per_s: QpsOption,
    latency_s: LatencyOption,
    chunks: ChunksOption = 100_000,
    config: ConfigOption = DEFAULT_CONFIG,
    hardware: HardwareOption = None,
    profile: ProfileOption = None,
    prices: PricesOption = None,
    token_bytes: TokenBytesOption = None,
    utilization: UtilizationOption = 0.8,
    save_profile: SaveProfileOption = None,
    write: WriteOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compute replicas, batches and nodes for a target load.

    Prints the cheapest plan that meets the load and the latency, its cost a month, and its bottleneck.
    """
    from deployments.cluster import environment

    environment.apply()  # before Ray is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as Ray sets it in a replica with a fraction of a core
    from serve.cli.capacity.plan import Target
    from serve.cli.capacity.solve import solve
    from serve.cli.plan.report import TABLE_WIDTH, show, show_json

    target = Target(queries_per_s=queries_per_s, latency_s=latency_s, chunks=chunks, utilization=utilization)
    times = _stage_times(config, profile, save_profile)
    if token_bytes is not None:
        times = times.with_token_bytes(token_bytes)
    solution = solve(times, target, _hardware(hardware, prices))
    if as_json:
        show_json(solution)
    else:
        show(solution, table_console(TABLE_WIDTH))
    if write is not None:
        _write(write, config, solution)


def _hardware(hardware: Path | None, prices: Path | None) -> "Hardware":
    from serve.cli.capacity.hardware import Hardware, this_machine
    from serve.cli.capacity.prices import Prices

    nodes = Hardware.read(hardware) if hardware else this_machine()
    return nodes.model_copy(update={"prices": Prices.read(prices)}) if prices else nodes


def _stage_times(config: Path, profile: Path | None, save_profile: Path | None) -> "Profile":
    """Read the profile, or measure one on this machine."""
    from serve.cli.capacity.hardware import HERE
    from serve.cli.capacity.measure import MeasurePlan, measure
    from serve.cli.capacity.profile import Profile

    if profile is not None:
        times = Profile.read(profile)
    else:
        times = measure(config, MeasurePlan(), HERE, lambda step: console.print(f"measuring {step}", style="dim"))
    if save_profile is not None:
        times.write(save_profile)
    return times


def _write(path: Path, config: Path, solution: "Plan") -> None:
    import yaml

    from serve.cli.plan.write import apply_plan
    from serve.config_file import read

    planned = apply_plan(read(config), solution)
    path.write_text(yaml.safe_dump(planned, sort_keys=False, width=120))
    console.print(f"{path}: written", markup=False)
