"""The commands `ragserve backups create`, `prune`, `list`, `restore`, `drill` and `follow`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.options import DEFAULT_CONFIG, ConfigOption, DataOption, console, errors

backups = typer.Typer(help="Make, list, try and follow backups in one place; see docs/backup.md.", no_args_is_help=True)

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[PLACE]",
        help="Folder, or URL such as s3://bucket/folder; default: backups.url of the deployment file.",
        show_default=False,
    ),
]
NameOption = Annotated[str | None, typer.Option(help="Name of the backup; default: the newest.", show_default=False)]
ScratchOption = Annotated[
    Path | None, typer.Option(help="Folder for temporary data; default: a new one.", file_okay=False)
]
KeepLastOption = Annotated[int | None, typer.Option(min=1, max=1000, help="Number of the newest to keep.")]
KeepDailyOption = Annotated[int | None, typer.Option(min=0, max=366, help="Days whose newest one is kept.")]
KeepWeeklyOption = Annotated[int | None, typer.Option(min=0, max=520, help="Weeks whose newest one is kept.")]
EVERY_HELP = "Go on, and make one every so many seconds, minutes, hours or days: 90s, 15m, 6h, 1d."


@backups.command()
def create(  # noqa: PLR0913, a command's options are its arguments
    place: PlaceArgument = None,
    every: Annotated[str | None, typer.Option(help=EVERY_HELP, show_default=False)] = None,
    keep_last: KeepLastOption = None,
    keep_daily: KeepDailyOption = None,
    keep_weekly: KeepWeeklyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Add a backup, while the service runs, then delete those that are too old.

    Without --keep-…, backups.keep_… of the deployment file decide.
    """
    from serve.cli.backup.create import create_backups
    from serve.cli.backup.places import open_place, seconds_of

    opened = open_place(config, data, place, _kept(keep_last, keep_daily, keep_weekly))
    create_backups(opened, None if every is None else seconds_of(every), console)


def _kept(last: int | None, daily: int | None, weekly: int | None) -> dict[str, int]:
    """What overrides `backups.keep_…` of the deployment file."""
    changes = {"keep_last": last, "keep_daily": daily, "keep_weekly": weekly}
    return {key: value for key, value in changes.items() if value is not None}


@backups.command("prune")
def prune_backups(
    place: PlaceArgument = None,
    keep_last: KeepLastOption = None,
    keep_daily: KeepDailyOption = None,
    keep_weekly: KeepWeeklyOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Delete the backups that are too old, and make none: for a place that is full.

    Without --keep-…, backups.keep_… of the deployment file decide. Those that a restore refuses are not deleted.
    """
    from models.corpus.backup.scheduled import prune
    from serve.cli.backup.places import open_place

    opened = open_place(config, None, place, _kept(keep_last, keep_daily, keep_weekly))
    console.print(f"{prune(opened.repository, opened.retention)} backups deleted", markup=False)


@backups.command("list")
def list_backups(place: PlaceArgument = None, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """List the complete backups, oldest first."""
    from serve.cli.backup.places import open_place

    complete = open_place(config, None, place).repository.backups()
    if not complete:
        errors.print("there is no complete backup", markup=False)
    for backup in complete:
        console.print(f"{backup.name}  {backup.started_at:%Y-%m-%d %H:%M:%S} UTC", markup=False)


@backups.command()
def restore(
    place: PlaceArgument = None,
    name: NameOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    scratch: ScratchOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Required if data is stored already: replace it.")] = False,
) -> None:
    """Replace all stored data by one of the backups, while the service runs."""
    from serve.cli.backup.places import open_place
    from serve.cli.backup.restore_named import restore_named

    restore_named(open_place(config, data, place), name, scratch, yes, console)


@backups.command()
def follow(
    data: Annotated[Path, typer.Option(help="Data folder of the standby, not of the service.", file_okay=False)],
    place: PlaceArgument = None,
    every: Annotated[
        str | None, typer.Option(help="Go on, and look for a newer backup every 30s, 5m, 1h.", show_default=False)
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scratch: ScratchOption = None,
) -> None:
    """Keep a standby at the newest backup: its own data folder, restored again and again.

    It stops when callers have written to the standby. So a standby that took over is never overwritten.
    """
    from serve.cli.backup.follow import follow_backups
    from serve.cli.backup.places import open_place, seconds_of

    follow_backups(open_place(config, data, place), None if every is None else seconds_of(every), scratch, console)


@backups.command()
def drill(  # noqa: PLR0913, a command's options are its arguments
    place: PlaceArgument = None,
    name: NameOption = None,
    rto: Annotated[
        float | None, typer.Option(min=0, help="Most seconds until the first answer.", show_default=False)
    ] = None,
    rpo: Annotated[
        float | None, typer.Option(min=0, help="Most seconds that the backup may be old.", show_default=False)
    ] = None,
    questions: Annotated[int, typer.Option(min=1, max=100, help="Passages to ask for.")] = 3,
    url: Annotated[
        str | None,
        typer.Option(help="A service that must give the same passages, such as the running one.", show_default=False),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    scratch: ScratchOption = None,
) -> None:
    """Try a recovery: restore a backup elsewhere, start a service on it, ask, and say how long each step took.

    Exits with 1 if a check fails, or a limit is passed.
    """
    from serve.cli.backup.drill import print_drill, run_drill
    from serve.cli.backup.places import open_place

    report = run_drill(open_place(config, None, place), name, config, questions, url, scratch, console)
    if not print_drill(report, rto, rpo, console):
        raise typer.Exit(1)
