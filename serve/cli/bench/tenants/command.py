"""The command `ragserve bench tenants`."""

from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, TurnsOption, show, show_progress
from serve.cli.options import DEFAULT_CONFIG, DEFAULT_URL, ConfigOption, DataOption, UrlOption


# A command's options are its arguments.
def tenants_command(  # noqa: PLR0913
    url: UrlOption = DEFAULT_URL,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    clients: Annotated[int, typer.Option(help="Questions at once of the flood.", min=1, max=256)] = 60,
    seconds: Annotated[float, typer.Option(help="Length of a turn.", min=2, max=120)] = 10.0,
    num_turns: TurnsOption = 3,
    quick: QuickOption = False,
) -> None:
    """One question at a time, alone and beside a flood: of another tenant, and of the same one.

    Needs a running service on this machine whose api.access is keys. It makes two tenants and their keys in the
    service's database, and ends both.
    """
    from serve.cli.bench.tenants.run import HEAD, TenantsPlan, run

    plan = TenantsPlan(url, config, data, clients, seconds, num_turns)
    show(HEAD, *(row.line() for row in run(plan.as_quick() if quick else plan, show_progress)))
