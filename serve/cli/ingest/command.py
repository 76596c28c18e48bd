"""The command `ragserve ingest`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.options import DEFAULT_STORE, DEFAULT_URL, StoreOption, UrlOption, console


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", exists=True)],
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Upload files and folders, and make them searchable.

    Reads Markdown, HTML, text, PDF and DOCX. A changed file replaces its earlier version; an unchanged one is skipped.
    """
    from serve.cli.ingest.files import ingest_files
    from serve.cli.remote import RemoteService

    with RemoteService(url) as service:
        failed = ingest_files(service, paths, store, console)
    if failed:
        raise typer.Exit(1)
