"""The command `ragserve chaos`. Exits with 1 if a question failed in retrieval, or a file was lost."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.options import DEFAULT_URL, UrlOption, console


def chaos(  # noqa: PLR0913, a command's options are its arguments
    url: UrlOption = DEFAULT_URL,
    data: Annotated[Path, typer.Option(help="Data folder of the service's `ragserve up`.", file_okay=False)] = Path(
        "data"
    ),
    only: Annotated[
        list[str] | None, typer.Option(help="Only faults whose name has this text; may be given again.")
    ] = None,
    limit_s: Annotated[float, typer.Option("--limit", help="Longest wait for full service, in seconds.", min=10)] = 180,
    server: Annotated[list[str] | None, typer.Option(help="NAME=PID of a server beside it, such as Redis.")] = None,
    restart: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=COMMAND that starts a server again, and prints its pid. Otherwise it is started as it was."
        ),
    ] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=COMMAND;;COMMAND, which breaks and mends.")] = None,
    clock: Annotated[
        Path | None, typer.Option(help="File of loadtests/jumping_clock.c.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Break a local service on purpose, and say what each fault cost.

    Kills and stops its processes one after another while questions are asked and files are uploaded. Use a service of
    its own. A data folder on a disk of at most 1 GiB, such as a tmpfs, is filled too.
    """
    from serve.cli.chaos.command_fault import CommandFault
    from serve.cli.chaos.faults import Surroundings, faults_of
    from serve.cli.chaos.outcomes import HEADER, Row
    from serve.cli.chaos.run import run
    from serve.cli.chaos.server_faults import Server
    from serve.cli.data_folder import owner_of

    servers, commands = Server.of_options(server or [], restart or []), map(CommandFault.of_option, fault or [])
    faults = faults_of(owner_of(data), url, Surroundings(data, servers, list(commands), clock), only or [])
    console.print(HEADER, markup=False, soft_wrap=True)
    for row in run(url, faults, limit_s):
        text = row.to_markdown() if isinstance(row, Row) else f"\n{row}"
        console.print(text, markup=False, soft_wrap=True, highlight=False)
