"""The command `ragserve ingest`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.options import DEFAULT_URL, StoreOption, UrlOption, console

BULK_OPTIONS = "Only with --bulk"
BulkOption = Annotated[
    bool, typer.Option("--bulk", help="Stream any number of files: paths, globs, URLs such as s3://, JSONL, Parquet.")
]
TextColumnOption = Annotated[
    str | None, typer.Option(help="Column of a row's text; default: text.", rich_help_panel=BULK_OPTIONS)
]
IdColumnOption = Annotated[
    str | None, typer.Option(help="Column that names a row; default: its number.", rich_help_panel=BULK_OPTIONS)
]
AttributeOption = Annotated[
    list[str] | None,
    typer.Option(help="Column that becomes an attribute; repeatable; default: all.", rich_help_panel=BULK_OPTIONS),
]
TextFormatOption = Annotated[
    Literal["txt", "md", "html"], typer.Option(help="Format of a row's text.", rich_help_panel=BULK_OPTIONS)
]
UploadsOption = Annotated[int, typer.Option(help="Uploads at once.", min=1, max=64, rich_help_panel=BULK_OPTIONS)]
InFlightOption = Annotated[
    int,
    typer.Option(help="Most files uploaded and not searchable yet.", min=1, max=10_000, rich_help_panel=BULK_OPTIONS),
]
MemoryOption = Annotated[
    int, typer.Option(help="MB of memory for files under way.", min=1, max=65_536, rich_help_panel=BULK_OPTIONS)
]
PatienceOption = Annotated[
    float,
    typer.Option(help="Seconds to wait for a service that is away.", min=0, max=86_400, rich_help_panel=BULK_OPTIONS),
]
FailuresOption = Annotated[
    Path | None,
    typer.Option(help="File for the failed files, as JSON lines.", dir_okay=False, rich_help_panel=BULK_OPTIONS),
]


# A command's options are its arguments.
def ingest(  # noqa: PLR0913
    paths: Annotated[list[str], typer.Argument(help="Files and folders; with --bulk also globs and URLs.")],
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
    bulk: BulkOption = False,
    text_column: TextColumnOption = None,
    id_column: IdColumnOption = None,
    attribute: AttributeOption = None,
    text_format: TextFormatOption = "txt",
    uploads: UploadsOption = 8,
    in_flight: InFlightOption = 512,
    memory_mb: MemoryOption = 256,
    patience_s: PatienceOption = 600.0,
    failures: FailuresOption = None,
) -> None:
    """Upload files and folders, and make them searchable.

    Reads Markdown, HTML, PDF, Word, Excel, PowerPoint, OpenDocument, EPUB, RTF, mail, notebooks, CSV, JSON, XML, plain
    text, programs, and archives of them. A changed file replaces its earlier version; an unchanged one is skipped.

    With --bulk, memory is bounded, and the
    same command continues a run that was interrupted.
    """
    if not bulk:
        _ingest_files(paths, url, store)
        return
    from serve.cli.ingest.bulk.options import BulkLimits, RowOptions, TextFormat
    from serve.cli.ingest.bulk.run import BulkRun

    columns = None if attribute is None else tuple(attribute)
    rows = RowOptions(
        text_column=text_column, id_column=id_column, attribute_columns=columns, text_format=TextFormat(text_format)
    )
    limits = BulkLimits(uploads=uploads, in_flight=in_flight, memory_mb=memory_mb, patience_s=patience_s)
    tally = BulkRun(url, store, rows, limits, console).ingest(paths, failures)
    if tally.failed or not tally.done:
        raise typer.Exit(1)


def _ingest_files(paths: list[str], url: str, store: str) -> None:
    from serve.cli.ingest.files import ingest_files
    from serve.cli.remote import RemoteService

    if missing := [path for path in paths if not Path(path).exists()]:
        raise typer.BadParameter(f"{missing[0]!r} does not exist; with --bulk, globs and URLs work too")
    with RemoteService(url) as service:
        failed = ingest_files(service, [Path(path) for path in paths], store, console)
    if failed:
        raise typer.Exit(1)
