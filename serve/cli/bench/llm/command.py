"""The command `ragserve bench llm`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show

QUICK_QUESTIONS = 2


def llm_command(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Question sets in BEIR's layout, with gold answers.", exists=True, file_okay=False),
    ],
    alias: Annotated[str, typer.Option("--llm", help="Alias of a model of kind vllm.")] = "smollm2-135m",
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    catalog: Annotated[Path | None, typer.Option(help="Catalog file of your own.", dir_okay=False)] = None,
    num_questions: Annotated[int, typer.Option("--questions", help="Questions of a set.", min=1)] = 30,
    quick: QuickOption = False,
) -> None:
    """Ask a language model without a service: speed, citations, refusals and JSON. --quick: 2 questions of a set."""
    from serve.cli.bench.llm.run import open_model, run

    run(open_model(alias, dtype, catalog), folders, QUICK_QUESTIONS if quick else num_questions, show)
