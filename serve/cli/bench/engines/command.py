"""The command `ragserve bench engines`."""

import os
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show


def engines_command(
    num_turns: Annotated[int, typer.Option("--turns", help="Calls of each kind; the median counts.", min=1)] = 15,
    quick: QuickOption = False,
) -> None:
    """MiniLM by embedding engine and precision: latency, throughput, and the distance of its vectors from torch's.

    One thread. `ragserve bench retrieval` measures the quality of the results.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    from serve.cli.bench.engines.run import HEAD, run

    show(HEAD)
    for row in run(1 if quick else num_turns):
        show(row.line())
