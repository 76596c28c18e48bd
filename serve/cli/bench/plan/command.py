"""The command `ragserve bench plan`."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show, show_progress
from serve.cli.options import DEFAULT_CONFIG, ConfigOption

QUICK_SECONDS = 5.0


def plan_command(
    seconds: Annotated[float, typer.Option(help="Length of a turn.", min=1, max=120)] = 10.0,
    service: Annotated[
        bool, typer.Option("--service", help="Also start the service and measure it under load.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    profile: Annotated[
        Path | None, typer.Option(help="Profile of this machine; default: measure one.", dir_okay=False)
    ] = None,
    quick: QuickOption = False,
) -> None:
    """Predictions of `ragserve plan` against measurements of simulated replicas, which sleep for the profile's times.

    Also simulates a plan for 1,000 queries a second, event by event. --quick runs one of the five plans on Ray Serve.
    """
    from serve.cli.driver import ray_settings

    ray_settings.apply()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a measured profile is of one thread a replica
    from serve.cli.bench.plan.cases import cases
    from serve.cli.bench.plan.check import HEAD, run

    checked = [case for case in cases() if case.expected == "dense"] if quick else cases()
    seconds = QUICK_SECONDS if quick else seconds
    checks = run(checked, seconds, show_progress)
    if service:
        from serve.cli.bench.plan.service import check_service

        with TemporaryDirectory() as temporary:
            checks.append(check_service(config, profile, seconds, Path(temporary), show_progress))
    show(HEAD, *(check.line() for check in checks))
