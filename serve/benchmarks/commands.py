"""The commands `ragserve bench …`: each measures side by side, prints a table, and can keep it."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from models.errors import InvalidRequestError

bench = typer.Typer(
    help="Measure side by side, in one run; docs/benchmarks.md keeps the results.", no_args_is_help=True
)
console = Console(highlight=False, soft_wrap=True)

TempOption = Annotated[
    Path | None, typer.Option(help="Folder for the data, which are deleted afterwards.", file_okay=False)
]

ALL_ROWS = "embed,rerank,generate,memory"
RowsOption = Annotated[str, typer.Option(help="Of embed, rerank, generate, memory.")]
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The deployment file.")]
PeersOption = Annotated[Path | None, typer.Option(help="Where other servers are installed; else the user's cache.")]
LlmOption = Annotated[Path | None, typer.Option(help="An LLM's folder; else a small one is built.", exists=True)]
OutputOption = Annotated[Path | None, typer.Option(help="A JSON file of the rows.", dir_okay=False)]
PlotOption = Annotated[Path | None, typer.Option(help="A picture of the rows, such as models.png.", dir_okay=False)]


# A command's options are its arguments.
@bench.command()
def search(  # noqa: PLR0913
    sizes: Annotated[str, typer.Option(help="Numbers of chunks, separated by commas.")] = "1000,10000,100000",
    indexes: Annotated[str, typer.Option(help="Of flat, hnsw, ivf_pq, tantivy, milvus.")] = "flat,hnsw,ivf_pq,tantivy",
    dim: Annotated[int, typer.Option(help="Dimensions of a vector.", min=8, max=4096)] = 384,
    batch_size: Annotated[int, typer.Option("--batch", help="Queries of a batch.", min=1, max=512)] = 32,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.1, max=60)] = 2.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    folder: TempOption = None,
    milvus_uri: Annotated[str | None, typer.Option("--milvus", help="Of a server, instead of Milvus Lite.")] = None,
) -> None:
    """The served searchers against FAISS, Tantivy and pymilvus called directly: queries/s, p99, recall."""
    from deployments import environment

    environment.apply()
    os.environ["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] = "1"  # the benchmark calls its handles from threads
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "0"
    from serve.benchmarks.search import HEAD, Plan, table_row
    from serve.benchmarks.search_run import run

    plan = Plan(_numbers(sizes), tuple(indexes.split(",")), dim, batch_size, turn_s, num_turns, milvus_uri)
    with TemporaryDirectory(dir=folder) as temporary:
        rows = list(run(plan, Path(temporary), lambda line: console.print(line, style="dim", markup=False)))
    console.print("\n".join([HEAD, *map(table_row, rows)]), markup=False)


@bench.command()
def tax(
    clients: Annotated[str, typer.Option(help="Numbers of clients, separated by commas.")] = "1,4,16,64,256",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=60)] = 5.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    body_bytes: Annotated[int, typer.Option("--body", help="Bytes of a question.", min=4, max=1_000_000)] = 200,
) -> None:
    """What Ray Serve costs a composed graph: echo stages through our clients, on plain Ray Serve, and none at all."""
    from deployments import environment

    environment.apply()
    os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "0"
    from serve.benchmarks.tax import HEAD, TaxPlan, run

    plan = TaxPlan(_numbers(clients), turn_s, num_turns, body_bytes)
    with TemporaryDirectory() as temporary:
        rows = list(run(plan, Path(temporary), lambda line: console.print(line, style="dim", markup=False)))
    console.print("\n".join([HEAD, *(row.line() for row in rows)]), markup=False)


@bench.command()
def settings(
    clients: Annotated[str, typer.Option(help="Numbers of clients, separated by commas.")] = "1,64",
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=60)] = 4.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    body_bytes: Annotated[int, typer.Option("--body", help="Bytes of a question.", min=4, max=1_000_000)] = 200,
) -> None:
    """What each setting of Ray Serve's and of our clients is worth: the graph of `bench tax`, with one left out."""
    from serve.benchmarks.ray_settings import HEAD, VARIANTS, Job, run

    jobs = [Job(variant, _numbers(clients), turn_s, num_turns, body_bytes) for variant in VARIANTS]
    rows = list(run(jobs, lambda line: console.print(line, style="dim", markup=False)))
    console.print("\n".join([HEAD, *(row.line() for row in rows)]), markup=False)


@bench.command()
def backup(
    chunks: Annotated[int, typer.Option(help="How many chunks.", min=100, max=10_000_000)] = 100_000,
    folder: TempOption = None,
    database_url: Annotated[str | None, typer.Option(help="An empty database, instead of SQLite.")] = None,
) -> None:
    """How long a backup and a restore of so many chunks take."""
    from serve.benchmarks.backup import run

    with TemporaryDirectory(dir=folder) as temporary:
        rows = run(chunks, Path(temporary), database_url)
    console.print("| step | seconds | MB |\n|---|---|---|")
    for row in rows:
        console.print(f"| {row.step} | {row.seconds:.1f} | {row.megabytes:.0f} |", markup=False)


# A command's options are its arguments.
@bench.command()
def models(  # noqa: PLR0913
    rows: RowsOption = ALL_ROWS,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=120)] = 4.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    clients: Annotated[int, typer.Option(help="Clients that ask for embeddings at once.", min=1, max=256)] = 32,
    threads: Annotated[int, typer.Option(help="Threads of each server's model.", min=1, max=256)] = 1,
    config: ConfigOption = Path("serve_config.yaml"),
    peers: PeersOption = None,
    llm: LlmOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """Embedding, reranking and generation over HTTP against the models called offline and against other servers."""
    from serve.benchmarks.models import Plan
    from serve.benchmarks.models_command import measure
    from serve.benchmarks.peers.environments import default_folder

    groups = tuple(rows.split(","))
    plan = Plan(groups, config, peers or default_folder(), turn_s, num_turns, clients, threads, "cpu", llm)
    measure(plan, output, plot, console)


# A command's options are its arguments.
@bench.command()
def gpu(  # noqa: PLR0913
    rows: RowsOption = ALL_ROWS,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of one turn.", min=0.5, max=120)] = 4.0,
    num_turns: Annotated[int, typer.Option("--turns", help="Turns of each; the median counts.", min=1, max=99)] = 3,
    clients: Annotated[int, typer.Option(help="Clients that ask for embeddings at once.", min=1, max=256)] = 64,
    config: ConfigOption = Path("serve_config.yaml"),
    peers: PeersOption = None,
    llm: LlmOption = None,
    output: OutputOption = None,
    plot: PlotOption = None,
) -> None:
    """Needs a GPU with CUDA: the rows of `bench models` with every model on it, and FAISS there against the CPU."""
    from serve.benchmarks.gpu import require_gpu, run
    from serve.benchmarks.models import Plan
    from serve.benchmarks.models_command import measure
    from serve.benchmarks.peers.environments import default_folder

    require_gpu()
    groups = tuple(rows.split(","))
    plan = Plan(groups, config, peers or default_folder(), turn_s, num_turns, clients, 1, "cuda", llm)
    measure(plan, output, plot, console, run)


# A command's options are its arguments.
@bench.command()
def prefix(  # noqa: PLR0913
    num_requests: Annotated[int, typer.Option("--requests", help="Of the simulation.", min=100)] = 7_106,
    kv_tokens: Annotated[int, typer.Option(help="KV cache of the simulation.", min=10_000)] = 200_000,
    ingresses: Annotated[int, typer.Option(help="Processes that order passages, each by itself.", min=1)] = 1,
    engine_requests: Annotated[int, typer.Option(help="Of the replay on vLLM.", min=10)] = 300,
    engine_kv_tokens: Annotated[int, typer.Option(help="KV cache of the replay on vLLM.", min=4_096)] = 20_000,
    llm: Annotated[Path | None, typer.Option(help="An LLM's folder to replay on with vLLM; else not.")] = None,
    plot: PlotOption = None,
) -> None:
    """How much of the prompts is in the engine's prefix cache, by the order of the passages: simulated, and on vLLM."""
    from serve.benchmarks.prefix import Plan, draw, table
    from serve.benchmarks.prefix_run import run

    plan = Plan(num_requests, kv_tokens, ingresses, llm, engine_requests, engine_kv_tokens)
    rows = list(run(plan, lambda line: console.print(line, style="dim", markup=False)))
    console.print(table(rows), markup=False)
    if plot is not None:
        draw(rows, plot)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequestError(f"{text!r} is no list of numbers", "sizes") from None
