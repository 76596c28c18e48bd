"""The commands `ragserve keys create`, `list`, `rotate` and `revoke`: API keys, in the service's database."""

from typing import Annotated, Literal

import typer

from serve.cli.options import DEFAULT_CONFIG, ConfigOption, DataOption

DAY_S = 24 * 3600

keys = typer.Typer(help="Create, list, rotate and revoke API keys, in the database.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, as `ragserve keys list` shows it.")]


@keys.command()
def create(  # noqa: PLR0913, a command's options are its arguments
    name: Annotated[str, typer.Argument(help="Who or what uses the key.")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Tenant of the key.")] = "default",
    role: Annotated[
        Literal["reader", "writer", "admin"],
        typer.Option(help="reader: ask and read; writer: also change documents; admin: also audit and feedback."),
    ] = "reader",
    stores: Annotated[
        list[str] | None, typer.Option("--store", "-s", help="Limit the key to this vector store; repeatable.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it expires; never without.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Limit of questions a minute.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Limit of questions at once.")] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=NUMBER", help="Another limit, such as uploads_per_day=100; repeatable."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Create a key and print it. It is printed once: the database has its digest."""
    from serve.cli.keys.run import Rights, create_key, limits_of

    named = {"requests_per_minute": requests_per_minute, "concurrency": concurrency}
    rights = Rights(role, tuple(stores) if stores else None, limits_of(named, limits or []))
    create_key((config, data), tenant, name, rights, days and days * DAY_S)


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Only those of this tenant.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """List the keys, with the role, the stores and the state of each."""
    from serve.cli.keys.run import print_keys

    print_keys((config, data), tenant)


@keys.command()
def rotate(
    key_id: KeyArgument,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=24 * 90, help="Hours that the old key stays valid, for callers to change over.")
    ] = 24,
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
) -> None:
    """Create a new key with the rights of an old one, which expires after the overlap."""
    from serve.cli.keys.run import rotate_key

    rotate_key((config, data), key_id, int(overlap_hours * 3600))


@keys.command()
def revoke(key_id: KeyArgument, config: ConfigOption = DEFAULT_CONFIG, data: DataOption = None) -> None:
    """End a key. A running service refuses it within two seconds."""
    from serve.cli.keys.run import revoke_key

    revoke_key((config, data), key_id)
