"""The command `ragserve bench peers`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import (
    ClientsOption,
    CorpusOption,
    OutputOption,
    PeersOption,
    PlotOption,
    QuickOption,
    TurnsOption,
    numbers,
)
from serve.cli.options import DEFAULT_CONFIG, ConfigOption

QuestionsOption = Annotated[
    Path | None,
    typer.Option(help="File with one question per line; default: the questions of the documents.", exists=True),
]
DocumentsOption = Annotated[
    Path | None,
    typer.Option(help="Folder of a question set in BEIR's layout; default: README.md and docs.", exists=True),
]


# A command's options are its arguments.
def peers_command(  # noqa: PLR0913
    questions: QuestionsOption = None,
    documents: DocumentsOption = None,
    corpus: CorpusOption = None,
    modes: Annotated[
        str,
        typer.Option(help="What the peers rerank with, separated by commas: cross-encoder, none (ours: MaxSim)."),
    ] = "cross-encoder",
    clients: ClientsOption = "1,16",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of a turn.", min=1, max=300)] = 20.0,
    num_turns: TurnsOption = 3,
    threads: Annotated[int, typer.Option(help="Threads per forward pass in ragserve.", min=1, max=256)] = 2,
    peer_threads: Annotated[int, typer.Option(help="Threads per forward pass in a peer.", min=1, max=256)] = 1,
    peer_bfloat16: Annotated[bool, typer.Option(help="Run the peers' models in bfloat16 in place of float32.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    environments: PeersOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
    quick: QuickOption = False,
) -> None:
    """The whole query path over HTTP against Haystack and LangChain services with the same models and index.

    Missing peers are installed first. --quick installs nothing: a peer that is not installed is skipped, and the
    caption of the table says so.
    """
    from serve.cli.bench.peers.rows import PeersPlan
    from serve.cli.bench.peers.run import measure
    from serve.cli.driver.peers.environments import default_folder

    plan = PeersPlan(
        config,
        environments or default_folder(),
        documents,
        questions,
        numbers(clients, "clients"),
        turn_s,
        num_turns,
        threads,
        peer_threads,
        "bfloat16" if peer_bfloat16 else "float32",
        corpus=corpus,
        modes=tuple(modes.split(",")),
    )
    measure(plan.as_quick() if quick else plan, output, plot)
