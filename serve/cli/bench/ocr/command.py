"""The command `ragserve bench ocr`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show


def ocr_command(
    font: Annotated[
        list[Path] | None,
        typer.Option("--font", help="A font file for Chinese and Japanese, which no package brings.", exists=True),
    ] = None,
    quick: QuickOption = False,
) -> None:
    """Character error rate and CPU time of recognized pages, by language and quality. --quick: one page."""
    from serve.cli.bench.ocr.run import HEAD, run

    show(HEAD)
    for row in run(font or [], quick):
        show(row.line())
