"""The command `ragserve bench extractive`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show

QUICK_QUESTIONS = 10


def extractive_command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with corpus.jsonl.gz, qrels.tsv, and queries.jsonl.gz with gold answers.",
            exists=True,
            file_okay=False,
        ),
    ],
    num_questions: Annotated[int, typer.Option("--questions", help="Questions of a set.", min=1)] = 500,
    encoder: Annotated[
        bool, typer.Option("--encoder", help="Also compare sentences by all-MiniLM-L6-v2; takes minutes.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Compare with sentences chosen by stored token vectors too; takes minutes.")
    ] = False,
    quick: QuickOption = False,
) -> None:
    """Fraction of extractive answers with the gold answer, by passages and term weights. --quick: 10 questions."""
    from serve.cli.bench.extractive.run import HEAD, run

    show(HEAD)
    for row in run(folders, QUICK_QUESTIONS if quick else num_questions, encoder, tokens):
        show(row.line())
