"""The command `ragserve bench evidence`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show

QUICK_QUESTIONS, QUICK_DOCUMENTS = 10, 50


def evidence_command(  # noqa: PLR0913
    folders: Annotated[
        list[Path],
        typer.Argument(
            help="Question sets in BEIR's layout, at least two; `answerability` may mark a query.", exists=True
        ),
    ],
    num_questions: Annotated[int, typer.Option("--questions", help="Questions of a set.", min=1)] = 500,
    num_off_topic: Annotated[
        int, typer.Option("--off-topic", help="Questions of each set asked over each other set's documents.", min=1)
    ] = 150,
    max_documents: Annotated[int, typer.Option("--max-documents", help="Documents of a set.", min=1)] = 100_000,
    fit: Annotated[
        bool, typer.Option("--fit", help="Also fit the weights to these questions, and print them.")
    ] = False,
    embedder: Annotated[str, typer.Option(help="Embedding model of the catalog, with token vectors.")] = "minilm",
    related: Annotated[
        str, typer.Option(help="Sets with a common source, with commas: not asked over each other.")
    ] = "",
    quick: QuickOption = False,
) -> None:
    """AUROC of the evidence and of each feature; questions declined by kind. --quick: 10 questions, 50 documents."""
    from serve.cli.bench.evidence.cases import CaseSizes
    from serve.cli.bench.evidence.run import run

    sources = frozenset(related.split(","))
    sizes = CaseSizes(num_questions, num_off_topic, max_documents, sources)
    if quick:
        sizes = CaseSizes(QUICK_QUESTIONS, QUICK_QUESTIONS, QUICK_DOCUMENTS, sources)
    for line in run(folders, sizes, fit, embedder):
        show(line)
