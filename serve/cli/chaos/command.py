"""The command `ragserve chaos`. Exits with 1 if a question failed in retrieval, or a file was lost."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.options import DEFAULT_URL, UrlOption, console


def chaos(
    url: UrlOption = DEFAULT_URL,
    data: Annotated[Path, typer.Option(help="Data folder of the service's `ragserve up`.", file_okay=False)] = Path(
        "data"
    ),
    only: Annotated[str, typer.Option(help="Only faults whose name has this text.")] = "",
    limit_s: Annotated[float, typer.Option("--limit", help="Longest wait for full service, in seconds.", min=10)] = 180,
) -> None:
    """Break a local service on purpose, and say what each fault cost.

    Kills and stops its processes one after another while questions are asked and files are uploaded. Use a service of
    its own.
    """
    from serve.cli.chaos.faults import faults_of
    from serve.cli.chaos.outcomes import HEADER, Row
    from serve.cli.chaos.run import run
    from serve.cli.data_folder import owner_of

    faults = [fault for fault in faults_of(owner_of(data), url) if only.lower() in fault.name.lower()]
    console.print(HEADER, markup=False, soft_wrap=True)
    for row in run(url, faults, limit_s):
        text = row.to_markdown() if isinstance(row, Row) else f"\n{row}"
        console.print(text, markup=False, soft_wrap=True, highlight=False)
