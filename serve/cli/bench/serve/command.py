"""The commands `ragserve bench corpus` and `ragserve bench serve`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import (
    ClientsOption,
    OutputOption,
    PlotOption,
    QuickOption,
    TurnsOption,
    numbers,
    show,
    show_progress,
)
from serve.cli.options import DEFAULT_CONFIG, ConfigOption

SetsOption = Annotated[
    list[Path], typer.Option("--documents", help="Folder of a question set in BEIR's layout; repeatable.", exists=True)
]
ChunksOption = Annotated[int, typer.Option("--chunks", help="Chunks of the corpus.", min=1_000, max=10_000_000)]


def corpus_command(
    folder: Annotated[Path, typer.Argument(help="Folder of the corpus; it is made once.", file_okay=False)],
    documents: SetsOption,
    num_chunks: ChunksOption = 100_000,
    config: ConfigOption = DEFAULT_CONFIG,
    quick: QuickOption = False,
) -> None:
    """A large corpus for `bench serve`, `bench peers` and `bench overload`, made in minutes.

    The documents of question sets, embedded by the real model, and filler mixed from their sentences and vectors.
    The same options give the same corpus; a second run finds it.
    """
    from serve.cli.driver.corpus.make import prepare
    from serve.cli.driver.corpus.plan import CorpusPlan

    plan = CorpusPlan(tuple(documents), config, num_chunks, min(10_000, num_chunks))
    corpus = prepare(plan.as_quick() if quick else plan, folder, show_progress)
    show("; ".join(f"{name}: {fact}" for name, fact in corpus.facts.items()))


# A command's options are its arguments.
def serve_command(  # noqa: PLR0913
    corpus: Annotated[
        Path, typer.Option(help="Folder that `ragserve bench corpus` made.", exists=True, file_okay=False)
    ],
    clients: ClientsOption = "1,16,64",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of a turn.", min=1, max=300)] = 20.0,
    num_turns: TurnsOption = 3,
    open_s: Annotated[
        float, typer.Option(help="Seconds of the open loop at half of the peak; 0: none.", min=0, max=600)
    ] = 60.0,
    trace_s: Annotated[float, typer.Option(help="Seconds of the skewed trace; 0: none.", min=0, max=600)] = 60.0,
    num_limit: Annotated[
        int, typer.Option("--limit", help="Questions by which the libraries alone are measured; 0: none.", min=0)
    ] = 200,
    config: ConfigOption = DEFAULT_CONFIG,
    output: OutputOption = None,
    plot: PlotOption = None,
    quick: QuickOption = False,
) -> None:
    """The service on a large corpus: unseen questions, the same again, a skewed trace, and the libraries alone.

    Prints throughput, the time of each stage, the CPU of each process, and what the libraries alone need for the same.
    """
    from serve.cli.bench.serve.rows import ServePlan
    from serve.cli.bench.serve.run import measure
    from serve.cli.driver.corpus.prepared import PreparedCorpus

    plan = ServePlan(config, numbers(clients, "clients"), turn_s, num_turns, open_s, trace_s, num_limit=num_limit)
    measure(plan.as_quick() if quick else plan, PreparedCorpus.open(corpus), output, plot)
