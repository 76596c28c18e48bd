"""The command `ragserve bench milvus`."""

import logging
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show

NUM_FILES, QUICK_FILES = 100, 3


def milvus_command(
    server: Annotated[
        str, typer.Argument(help="server: the server of the package `milvus`; lite: Milvus Lite in this process.")
    ],
    index: Annotated[str, typer.Option(help="FLAT or HNSW.")] = "FLAT",
    quick: QuickOption = False,
) -> None:
    """Time of a search in Milvus: alone, in batches, filtered, and after a change. --quick has three files."""
    logging.disable(logging.CRITICAL)
    from serve.cli.bench.milvus.run import run

    with TemporaryDirectory() as folder:
        for line in run(server, index, QUICK_FILES if quick else NUM_FILES, quick, folder):
            show(line)
