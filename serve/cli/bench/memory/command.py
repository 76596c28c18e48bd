"""The command `ragserve bench memory`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, show

QUICK_QUESTIONS = 10


def memory_command(
    folder: Annotated[Path, typer.Argument(help="A question set with `messages`, such as MTRAG-UN.", exists=True)],
    num_exchanges: Annotated[int, typer.Option("--exchanges", help="Exchanges of a long conversation.", min=10)] = 100,
    num_questions: Annotated[int, typer.Option("--questions", help="Questions.", min=2)] = 1_000,
    quick: QuickOption = False,
) -> None:
    """What is found when a user comes back to a topic. --quick: 10 questions."""
    from serve.cli.bench.memory.run import run

    for line in run(folder, num_exchanges, QUICK_QUESTIONS if quick else num_questions):
        show(line)
