"""The command `ragserve bench understanding`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show

QUICK_QUESTIONS, QUICK_DOCUMENTS = 10, 50


def understanding_command(
    folders: Annotated[
        list[Path], typer.Argument(help="Question sets in BEIR's layout; `answers` for decomposition.", exists=True)
    ],
    num_questions: Annotated[int, typer.Option("--questions", help="Questions, and pairs, of a set.", min=2)] = 200,
    max_documents: Annotated[int, typer.Option("--max-documents", help="Documents of a set.", min=1)] = 400,
    quick: QuickOption = False,
) -> None:
    """Compound questions whole and in parts; keywords beside the question. --quick: 10 questions, 50 documents."""
    from serve.cli.bench.understanding.run import run

    if quick:
        num_questions, max_documents = QUICK_QUESTIONS, QUICK_DOCUMENTS
    for line in run(folders, num_questions, max_documents):
        show(line)
