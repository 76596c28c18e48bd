"""The commands `ragserve bench tax` and `ragserve bench settings`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from serve.cli.driver.options import ClientsOption, QuickOption, TurnsOption, numbers, show, show_progress

TurnOption = Annotated[float, typer.Option("--seconds", help="Length of a turn.", min=0.5, max=60)]
BodyOption = Annotated[int, typer.Option("--body", help="Bytes of a question.", min=4, max=1_000_000)]


def tax_command(
    clients: ClientsOption = "1,4,16,64,256",
    turn_s: TurnOption = 5.0,
    num_turns: TurnsOption = 3,
    body_bytes: BodyOption = 200,
    quick: QuickOption = False,
) -> None:
    """Cost of Ray Serve for a composed graph: echo stages through our clients, on plain Ray Serve, and without Ray."""
    from serve.cli.driver import ray_settings

    ray_settings.apply()
    from serve.cli.bench.tax.plan import TaxPlan
    from serve.cli.bench.tax.run import HEAD, run

    plan = TaxPlan(numbers(clients, "clients"), turn_s, num_turns, body_bytes)
    with TemporaryDirectory() as temporary:
        rows = list(run(plan.as_quick() if quick else plan, Path(temporary), show_progress))
    show(HEAD, *(row.line() for row in rows))


def settings_command(
    clients: ClientsOption = "1,64",
    turn_s: TurnOption = 4.0,
    num_turns: TurnsOption = 3,
    body_bytes: BodyOption = 200,
    quick: QuickOption = False,
) -> None:
    """Effect of each setting of Ray Serve and of our clients: the graph of `bench tax` without that setting.

    --quick measures three variants: as shipped, with Serve's Python proxy, and with both stages inline.
    """
    from serve.cli.bench.tax.plan import TaxPlan
    from serve.cli.bench.tax.settings import HEAD, QUICK_VARIANTS, VARIANTS, Job, run

    plan = TaxPlan(numbers(clients, "clients"), turn_s, num_turns, body_bytes)
    plan, variants = (plan.as_quick(), QUICK_VARIANTS) if quick else (plan, VARIANTS)
    rows = list(run([Job(variant, plan) for variant in variants], show_progress))
    show(HEAD, *(row.line() for row in rows))
