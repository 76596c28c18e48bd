"""The command `ragserve eval figures`. Exits with 1 for a failed search, 2 for invalid input."""

from pathlib import Path
from typing import Annotated

import typer

from models.errors.requests import InvalidRequestError
from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.options import DEFAULT_URL, StoreOption, UrlOption, table_console

QuestionsArgument = Annotated[
    Path, typer.Argument(help="JSON lines with `text` and `figures`.", exists=True, dir_okay=False)
]
TopOption = Annotated[int, typer.Option("--top", help="Passages of a search that count.", min=1, max=50)]
MissesOption = Annotated[bool, typer.Option("--misses", help="Print each question with figures that were not found.")]


def figures_command(
    questions: QuestionsArgument,
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
    top: TopOption = 10,
    misses: MissesOption = False,
) -> None:
    """Measure which numbers of known answers stand in the first passages. Ingest the documents first."""
    import numpy as np

    from serve.cli.driver.evaluated_service import EvaluatedService
    from serve.cli.eval.figures.measure import figures_in, read_figure_questions
    from serve.cli.eval.measures import estimates

    try:
        asked_for = read_figure_questions(questions)
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None
    console, shares = table_console(100), []
    with EvaluatedService(url) as service:
        for question in asked_for:
            present = figures_in(question.figures, service.passages(store, question.text, top))
            shares.append(len(present) / len(question.figures))
            if misses and len(present) < len(question.figures):
                missing = ", ".join(figure for figure in question.figures if figure not in present)
                console.print(f"{question.text}\n  {missing}", markup=False)
    (recall,) = estimates(np.array([shares]))
    interval = f"95 % interval {recall.low:.3f} to {recall.high:.3f}"
    console.print(f"figure recall@{top}: {recall.mean:.3f} ({interval}; {len(shares)} questions)")
