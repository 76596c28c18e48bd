"""The commands `ragserve backup` and `ragserve restore`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.options import DEFAULT_CONFIG, ConfigOption, DataOption, console


def backup(
    destination: Annotated[Path, typer.Argument(help="New folder for the backup; must not exist.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    since: Annotated[
        Path | None, typer.Option(help="Earlier backup; its uploads are hard-linked instead of copied.")
    ] = None,
) -> None:
    """Copy all stored data to a folder, while the service runs.

    The copy is consistent: it holds the data of one moment.
    """
    from serve.cli.backup.run import back_up

    back_up(config, data, destination, since, console)


def restore(
    source: Annotated[Path, typer.Argument(help="Folder of the backup.", exists=True, file_okay=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Required if data is stored already: replace it.")] = False,
) -> None:
    """Replace all stored data by a backup, while the service runs.

    The replacement is one step: the service sees the old data or the new, never a mixture.
    """
    from serve.cli.backup.run import restore as restore_from

    restore_from(config, data, source, yes, console)
