"""The commands `ragserve bench models` and `ragserve bench gpu`: the same rows, on the CPU and on CUDA."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import (
    OutputOption,
    PeersOption,
    PlotOption,
    QuickOption,
    TurnsOption,
)
from serve.cli.options import DEFAULT_CONFIG, ConfigOption

ALL_ROWS = "embed,rerank,generate,memory"
RowsOption = Annotated[str, typer.Option(help="Rows, separated by commas: embed, rerank, generate, memory.")]
TurnOption = Annotated[float, typer.Option("--seconds", help="Length of a turn.", min=0.5, max=120)]
ClientsOption = Annotated[int, typer.Option(help="Concurrent clients of the embeddings.", min=1, max=256)]
LlmOption = Annotated[
    Path | None, typer.Option(help="Folder of an LLM; default: a small one with random weights.", exists=True)
]


# A command's options are its arguments.
def models_command(  # noqa: PLR0913
    rows: RowsOption = ALL_ROWS,
    turn_s: TurnOption = 4.0,
    num_turns: TurnsOption = 3,
    clients: ClientsOption = 32,
    threads: Annotated[int, typer.Option(help="Threads of each server's model.", min=1, max=256)] = 1,
    config: ConfigOption = DEFAULT_CONFIG,
    peers: PeersOption = None,
    llm: LlmOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
    quick: QuickOption = False,
) -> None:
    """Embedding, reranking and generation over HTTP against the models called offline and against other servers.

    Missing servers are installed first. --quick installs nothing: a server that is not installed is skipped, and its
    row says so.
    """
    from serve.cli.bench.models.rows import ModelsPlan
    from serve.cli.bench.models.run import measure, run
    from serve.cli.driver.peers.environments import default_folder

    groups = tuple(rows.split(","))
    plan = ModelsPlan(groups, config, peers or default_folder(), turn_s, num_turns, clients, threads, "cpu", llm)
    measure(plan.as_quick() if quick else plan, output, plot, run)


# A command's options are its arguments.
def gpu_command(  # noqa: PLR0913
    rows: RowsOption = ALL_ROWS,
    turn_s: TurnOption = 4.0,
    num_turns: TurnsOption = 3,
    clients: ClientsOption = 64,
    config: ConfigOption = DEFAULT_CONFIG,
    peers: PeersOption = None,
    llm: LlmOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
    quick: QuickOption = False,
) -> None:
    """The rows of `bench models` with every model on a CUDA GPU, and FAISS on the GPU against the CPU."""
    from serve.cli.bench.models.gpu import require_gpu, run
    from serve.cli.bench.models.rows import ModelsPlan
    from serve.cli.bench.models.run import measure
    from serve.cli.driver.peers.environments import default_folder

    require_gpu()
    groups = tuple(rows.split(","))
    plan = ModelsPlan(groups, config, peers or default_folder(), turn_s, num_turns, clients, 1, "cuda", llm)
    measure(plan.as_quick() if quick else plan, output, plot, run)
