"""The command `ragserve bench search`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from serve.cli.driver.options import FolderOption, QuickOption, TurnsOption, numbers, show, show_progress

QUICK_TOKENS = 6_000  # chunks
INDEXES = "flat,hnsw,ivf_pq,tantivy"


# A command's options are its arguments.
def search_command(  # noqa: PLR0913
    sizes: Annotated[str, typer.Option(help="Numbers of chunks, separated by commas.")] = "1000,10000,100000",
    indexes: Annotated[
        str, typer.Option(help="Indexes, separated by commas: flat, hnsw, ivf_pq, tantivy, milvus.")
    ] = INDEXES,
    dim: Annotated[int, typer.Option(help="Dimensions of a vector.", min=8, max=4096)] = 384,
    batch_size: Annotated[int, typer.Option("--batch", help="Queries of a batch.", min=1, max=512)] = 32,
    turn_s: Annotated[float, typer.Option("--seconds", help="Length of a turn.", min=0.1, max=60)] = 2.0,
    num_turns: TurnsOption = 3,
    folder: FolderOption = None,
    milvus_uri: Annotated[
        str | None, typer.Option("--milvus", help="URI of a Milvus server; default: Milvus Lite.")
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Measure the scoring of stored token vectors instead of the indexes.")
    ] = False,
    quick: QuickOption = False,
) -> None:
    """The served searchers against FAISS, Tantivy and pymilvus called directly: queries/s, p99, recall."""
    if tokens:
        _measure_tokens((QUICK_TOKENS,) if quick else numbers(sizes, "sizes"), dim, folder)
        return
    from serve.cli.driver import ray_settings

    # The benchmark calls its handles from threads.
    ray_settings.apply(RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP="1")
    from serve.cli.bench.search.rows import HEAD, SearchPlan, table_row
    from serve.cli.bench.search.run import run

    plan = SearchPlan(
        numbers(sizes, "sizes"), tuple(indexes.split(",")), dim, batch_size, turn_s, num_turns, milvus_uri
    )
    plan = plan.as_quick() if quick else plan
    with TemporaryDirectory(dir=folder) as temporary:
        rows = list(run(plan, Path(temporary), show_progress))
    show(HEAD, *map(table_row, rows))


def _measure_tokens(sizes: tuple[int, ...], dim: int, folder: Path | None) -> None:
    from serve.cli.bench.search.tokens import HEAD, run

    with TemporaryDirectory(dir=folder) as temporary:
        rows = list(run(sizes, dim, Path(temporary), show_progress))
    show(HEAD, *(row.line() for row in rows))
