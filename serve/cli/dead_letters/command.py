"""The commands `ragserve dead-letters` and `ragserve replay`."""

import time
from typing import Annotated, Any

import typer

from serve.cli.options import DEFAULT_URL, UrlOption, console

OptionalStore = Annotated[str | None, typer.Option("--store", "-s", help="Only those of this vector store.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", "-r", help="Only those that failed for this reason.")]


def dead_letters(url: UrlOption = DEFAULT_URL, store: OptionalStore = None, reason: ReasonOption = None) -> None:
    """List the files whose ingestion failed for good.

    Shows each file's id for `ragserve replay`, its reason, its attempts and the time.
    """
    from serve.cli.remote import RemoteService

    num_letters = 0
    with RemoteService(url) as service:
        for letter in service.pages("/v1/dead_letters", **_selection(store, reason)):
            _print(letter)
            num_letters += 1
    console.print(f"{num_letters} dead letters")


def replay(
    dead_letter_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Id of one dead letter.", show_default=False)
    ] = None,
    url: UrlOption = DEFAULT_URL,
    store: OptionalStore = None,
    reason: ReasonOption = None,
) -> None:
    """Ingest files again that failed for good.

    Selects one file by its id, all of a store, or all of a reason. A file that is already in progress is left alone,
    so a repeat is harmless.
    """
    from serve.cli.remote import RemoteService

    selection = _selection(store, reason) | ({"id": dead_letter_id} if dead_letter_id else {})
    if not selection:
        raise typer.BadParameter("give an id, --store or --reason; `ragserve dead-letters` lists the files")
    with RemoteService(url) as service:
        num_replayed = service.replay(selection)
    console.print(f"{num_replayed} files are ingested again")


def _selection(store: str | None, reason: str | None) -> dict[str, str]:
    values = {"vector_store_id": store, "reason": reason}
    return {name: value for name, value in values.items() if value}


def _print(letter: dict[str, Any]) -> None:
    failed_at = letter["failed_at"]
    when = "unknown time" if failed_at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(failed_at))
    attempts = f"{letter['attempts']} attempt{'' if letter['attempts'] == 1 else 's'}"
    facts = (letter["id"], when, letter["vector_store_id"], letter["reason"], attempts, letter["filename"])
    console.print("  ".join(facts), markup=False)
    console.print(f"    {letter['last_error']['message']}", markup=False, style="red")
