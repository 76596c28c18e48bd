"""`ragserve eval SET…` measures retrieval; `answers` measures answers, and `figures` finds their numbers.

`export` makes a question set of what users asked.
"""

from typing import Any

import typer
from typer.core import TyperGroup

from serve.cli.eval.answers.command import answers_command
from serve.cli.eval.command import evaluate
from serve.cli.eval.export.command import export_command
from serve.cli.eval.figures.command import figures_command

DEFAULT_COMMAND = "retrieval"


class EvaluationGroup(TyperGroup):
    """A group whose default command is `retrieval`: its name may be left out before a folder or an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As click."""
        if args and args[0] not in (*self.commands, *self.get_help_option_names(ctx)):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


evaluation = typer.Typer(
    cls=EvaluationGroup,
    help="Measure retrieval, or answers, on question sets. A folder without a command: retrieval.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
evaluation.command(DEFAULT_COMMAND)(evaluate)
evaluation.command("answers")(answers_command)
evaluation.command("figures")(figures_command)
evaluation.command("export")(export_command)
