"""The command `ragserve bench step`."""

import signal
from typing import Annotated

import typer

from serve.cli.driver.options import OutputOption, PlotOption, QuickOption, show, show_progress


# A command's options are its arguments.
def step_command(  # noqa: PLR0913
    base_per_s: Annotated[float, typer.Option("--base-rate", help="Questions a second at 1x.", min=0.1, max=100)] = 5.0,
    factor: Annotated[
        float, typer.Option(help="Rate of the middle phase, as a multiple of 1x.", min=1.1, max=20)
    ] = 5.0,
    phase_s: Annotated[float, typer.Option("--phase", help="Seconds of each phase.", min=20, max=1800)] = 80.0,
    budget_s: Annotated[
        float, typer.Option("--budget", help="Latency budget of a question, in seconds.", min=0.1, max=60)
    ] = 2.5,
    seed: Annotated[int, typer.Option(help="Seed of the arrivals.", min=0)] = 0,
    output: OutputOption = None,
    plot: PlotOption = None,
    quick: QuickOption = False,
) -> None:
    """Autoscaling under a step of load (1x, 5x, 1x): replicas and latency over time, with simulated stages.

    The stages sleep as long as GPUs would compute. --quick has phases of 20 seconds, too short for the stages to scale
    down again.
    """
    from serve.cli.driver import ray_settings

    ray_settings.apply()
    from serve.cli.bench.step.graph import STAGES
    from serve.cli.bench.step.plan import StepPlan
    from serve.cli.bench.step.run import run
    from serve.cli.bench.step.summary import head

    # As Ctrl-C: neither the load nor Ray outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = StepPlan(base_per_s=base_per_s, factor=factor, phase_s=phase_s, budget_s=budget_s, seed=seed)
    result = run(plan.as_quick() if quick else plan, show_progress)
    show(head([stage.name for stage in STAGES]), *(row.line() for row in result.rows), "", result.caption())
    if output is not None:
        result.write(output)
    if plot is not None:
        from serve.cli.bench.step.plot import draw

        draw(result, plot)
