"""Options and output that the benchmarks' commands share. Imports nothing heavy: every `ragserve --help` reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from models.errors.requests import InvalidRequestError
from serve.cli.options import console

T = TypeVar("T")

QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick", help="Smallest run that touches every part, in a minute or two; overrides sizes, seconds and turns."
    ),
]
TurnsOption = Annotated[
    int, typer.Option("--turns", help="Turns of each server; the median turn counts.", min=1, max=99)
]
ClientsOption = Annotated[str, typer.Option(help="Numbers of clients, separated by commas.")]
FolderOption = Annotated[
    Path | None, typer.Option(help="Folder for temporary data, which is deleted afterwards.", file_okay=False)
]
PeersOption = Annotated[
    Path | None, typer.Option(help="Folder where other servers are installed; default: the user's cache folder.")
]
CorpusOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder that `ragserve bench corpus` made; replaces documents and questions.", exists=True, file_okay=False
    ),
]
OutputOption = Annotated[Path | None, typer.Option(help="Write all results to this JSON file.", dir_okay=False)]
PlotOption = Annotated[
    Path | None, typer.Option(help="Plot the results to this file; its suffix sets the format.", dir_okay=False)
]


def show_progress(line: str) -> None:
    console.print(line, style="dim", markup=False)


def show(*lines: str) -> None:
    """Print the lines of Markdown without styling."""
    console.print("\n".join(lines), markup=False)


def numbers(text: str, option: str) -> tuple[int, ...]:
    """The whole numbers of a comma-separated list. Raises InvalidRequestError."""
    return _parsed(int, text, option)


def decimals(text: str, option: str) -> tuple[float, ...]:
    """The numbers of a comma-separated list. Raises InvalidRequestError."""
    return _parsed(float, text, option)


def _parsed(parse: Callable[[str], T], text: str, option: str) -> tuple[T, ...]:
    try:
        return tuple(parse(number) for number in text.split(","))
    except ValueError:
        kind = "whole numbers" if parse is int else "numbers"
        raise InvalidRequestError(f"{text!r} is not a comma-separated list of {kind}", option) from None
