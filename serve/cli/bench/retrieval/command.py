"""The command `ragserve bench retrieval`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, numbers, show

QUICK_QUERIES, QUICK_DOCUMENTS = 10, 100


def retrieval_command(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders of question sets in BEIR's layout.", exists=True, file_okay=False)
    ],
    max_queries: Annotated[
        int, typer.Option(help="Queries of a set; a larger set is sampled with a fixed seed.", min=1)
    ] = 1_000,
    shards: Annotated[
        str | None,
        typer.Option(help="Numbers of keyword shards, separated by commas: measure these instead of ranking methods."),
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Instead: nDCG@10 and size of each way to store token vectors.")
    ] = False,
    quick: QuickOption = False,
) -> None:
    """nDCG@10, MRR@10 and recall@10 of each ranking method, with the default models and parameters, without a service.

    Takes minutes on two cores. --quick takes 10 queries and 100 documents of each set.
    """
    from serve.cli.bench.retrieval import shards as sharded
    from serve.cli.bench.retrieval.run import HEAD, measure, num_routed, read
    from serve.cli.bench.retrieval.tokens import read_tokens, table

    limits = (QUICK_QUERIES, QUICK_DOCUMENTS) if quick else (max_queries, None)
    sets = (read(folder, *limits) for folder in folders)
    if tokens:
        for line in table([read_tokens(questions) for questions in sets]):
            show(line)
        return
    for questions in sets:
        show("", f"{questions.name}: {len(questions.queries)} queries, {num_routed(questions)} routed to BM25", "")
        if shards is None:
            show(HEAD, *(row.line() for row in measure(questions)))
        else:
            rows = sharded.measure_shards(questions, numbers(shards, "shards"))
            show(sharded.HEAD, *(row.line() for row in rows))
