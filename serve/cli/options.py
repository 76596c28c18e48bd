"""Options and consoles that several commands share. Imports nothing heavy: every `ragserve --help` reads it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
errors = Console(highlight=False, soft_wrap=True, stderr=True)

DEFAULT_CONFIG = Path("serve_config.yaml")
DEFAULT_URL = "http://127.0.0.1:8000"
DATA_VARIABLE = "RAGSERVE_DATA"

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="Deployment file.", dir_okay=False)]
DataOption = Annotated[
    Path | None,
    typer.Option(
        envvar=DATA_VARIABLE,
        help="Folder of documents and indexes; overrides storage.data_dir of the deployment file.",
    ),
]
UrlOption = Annotated[str, typer.Option("--url", "-u", envvar="RAGSERVE_URL", help="Base URL of the service.")]
StoreOption = Annotated[str, typer.Option("--store", "-s", help="Vector store id.")]


def table_console(width: int) -> Console:
    """A console for tables: the terminal, or `width` columns where the output is not a terminal."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=width)
