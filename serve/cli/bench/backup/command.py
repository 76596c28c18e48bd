"""The command `ragserve bench backup`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from serve.cli.driver.options import FolderOption, QuickOption, show

QUICK_CHUNKS = 1_000


def backup_command(
    chunks: Annotated[int, typer.Option(help="Number of chunks.", min=100, max=10_000_000)] = 100_000,
    token_bytes: Annotated[
        int, typer.Option(help="Bytes of a chunk's token vectors; 0: chunks without them.", min=0, max=1_000_000)
    ] = 16_500,
    folder: FolderOption = None,
    database_url: Annotated[
        str | None, typer.Option(help="URL of an empty database; default: SQLite in the folder.")
    ] = None,
    quick: QuickOption = False,
) -> None:
    """Time of a backup and of a restore, for a given number of chunks."""
    from serve.cli.bench.backup.run import run

    with TemporaryDirectory(dir=folder) as temporary:
        rows = run(QUICK_CHUNKS if quick else chunks, token_bytes, Path(temporary), database_url)
    show("| step | seconds | MB |\n|---|---|---|", *(row.line() for row in rows))
