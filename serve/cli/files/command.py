"""The commands `ragserve files delete` and `ragserve files update`."""

from typing import Annotated, Any

import typer

from models.errors.requests import InvalidRequestError
from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.options import DEFAULT_URL, StoreOption, UrlOption, console

TIMEOUT_S = 3600.0  # of a store with very many files

files = typer.Typer(help="Delete or update the files of a vector store by their attributes.", no_args_is_help=True)

WhereOption = Annotated[
    list[str] | None, typer.Option("--where", "-w", help="key=value, or with != > >= < <=; repeatable, all must hold.")
]
FilterOption = Annotated[str | None, typer.Option("--filter", help="A filter of the API, as JSON.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only count the files.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Attribute to set, key=value; repeatable.")]
UnsetOption = Annotated[list[str] | None, typer.Option("--unset", help="Attribute to remove; repeatable.")]
ChunkingOption = Annotated[
    str | None, typer.Option(help="Cut the files anew by this strategy: auto, structure, sentence_window, …")
]


@files.command()
def delete(
    where: WhereOption = None,
    filter_json: FilterOption = None,
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Remove files from a vector store; the uploads stay. Counts them first, and asks."""
    _change(url, store, "delete", _body(where, filter_json), dry_run, yes)


@files.command()
def update(  # noqa: PLR0913, a command's options are its arguments
    where: WhereOption = None,
    filter_json: FilterOption = None,
    set_: SetOption = None,
    unset: UnsetOption = None,
    chunking: ChunkingOption = None,
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Set or remove attributes of files, or cut them into chunks by another strategy. Counts them first, and asks."""
    from serve.cli.files.conditions import to_attributes

    body = _body(where, filter_json)
    try:
        body["attributes"] = to_attributes(set_ or (), unset or ())
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None
    if chunking is not None:
        body["chunking_strategy"] = {"type": chunking}
    _change(url, store, "update", body, dry_run, yes)


def _body(where: list[str] | None, filter_json: str | None) -> dict[str, Any]:
    from serve.cli.files.conditions import to_filter

    try:
        return {"filters": to_filter(where or (), filter_json)}
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None


def _change(url: str, store: str, action: str, body: dict[str, Any], dry_run: bool, yes: bool) -> None:
    from serve.cli.remote import RemoteService

    with RemoteService(url, TIMEOUT_S) as service:
        num_files = service.change_by_filter(store, action, body | {"dry_run": True})
        console.print(f"{num_files:,} files of {store} match")
        if dry_run or not num_files:
            return
        if not yes:
            typer.confirm(f"{action} them?", abort=True)
        num_files = service.change_by_filter(store, action, body)
        console.print(f"{num_files:,} files {action}d")
