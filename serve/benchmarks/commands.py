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


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequestError(f"{text!r} is no list of numbers", "sizes") from None
