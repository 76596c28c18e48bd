"""The commands `ragserve bench corpus` and `ragserve bench serve`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show, show_progress
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
