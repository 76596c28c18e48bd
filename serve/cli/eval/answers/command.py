"""The command `ragserve eval answers`. Exits with 1 for a regression or a mean below its gate, 2 for invalid input."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors.requests import InvalidRequestError
from serve.cli.options import table_console

if TYPE_CHECKING:
    from serve.cli.eval.answers.compare import Gate
    from serve.cli.eval.answers.run import AnswerRun

PLOT_SUFFIXES = (".png", ".svg", ".pdf")

FoldersArgument = Annotated[
    list[Path], typer.Argument(help="Question sets in BEIR's layout with gold answers.", exists=True, file_okay=False)
]
UrlOption = Annotated[
    str | None, typer.Option("--url", "-u", help="Ask this running service; default: the extractive model, in process.")
]
QueriesOption = Annotated[int | None, typer.Option(help="Sample this many questions of each set; default: all.", min=1)]
DocumentsOption = Annotated[
    int | None, typer.Option("--max-documents", help="First documents of each set; default: all.", min=1)
]
OffTopicOption = Annotated[
    int, typer.Option("--off-topic", help="Questions of each other set, asked over a set's documents.", min=0)
]
SeedOption = Annotated[int, typer.Option(help="Seed of the sample.")]
JudgeOption = Annotated[
    str | None,
    typer.Option(
        help="Catalog alias of the model that judges support: a cross-encoder, or the language model of --url; "
        "default: words and vectors."
    ),
]
ConcurrencyOption = Annotated[int, typer.Option(help="Concurrent requests to --url.", min=1, max=64)]
SaveOption = Annotated[Path | None, typer.Option(help="Write the run to this JSON file.", dir_okay=False)]
CompareOption = Annotated[
    Path | None,
    typer.Option("--compare", help="Compare with this saved run; exit with 1 if a metric fell.", dir_okay=False),
]
CheckOption = Annotated[bool, typer.Option("--check", help="Exit with 1 if a mean is below its gate.")]
GateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate", help="METRIC=VALUE or KIND/METRIC=VALUE, for --check; repeatable, beside the default gates."
    ),
]
ToleranceOption = Annotated[float, typer.Option(help="Ignore a fall of a mean up to this size.", min=0, max=1)]
PlotOption = Annotated[Path | None, typer.Option(help="Write a chart: .png, .svg or .pdf.", dir_okay=False)]


# A command's options are its arguments.
def answers_command(  # noqa: PLR0913
    folders: FoldersArgument,
    url: UrlOption = None,
    queries: QueriesOption = None,
    max_documents: DocumentsOption = None,
    off_topic: OffTopicOption = 50,
    seed: SeedOption = 0,
    judge: JudgeOption = None,
    concurrency: ConcurrencyOption = 4,
    save: SaveOption = None,
    compare_with: CompareOption = None,
    check: CheckOption = False,
    gate: GateOption = None,
    tolerance: ToleranceOption = 0.01,
    plot: PlotOption = None,
) -> None:
    """Measure answers on question sets: gold answers, citations, refusals, faithfulness.

    By kind of turn, with 95 % intervals.
    """
    from serve.cli.eval.answers.cases import Sizes, read_answer_sets
    from serve.cli.eval.answers.compare import DEFAULT_GATES, Gate
    from serve.cli.eval.answers.execute import execute
    from serve.cli.eval.answers.report import draw_answers
    from serve.cli.eval.answers.run import AnswerRun

    with _usage_errors():
        gates = [Gate.parse(text) for text in (*DEFAULT_GATES, *(gate or ()))]
        if plot and plot.suffix.lower() not in PLOT_SUFFIXES:
            raise InvalidRequestError(f"{plot}: the file name must end in {', '.join(PLOT_SUFFIXES)}", "plot")
        saved = AnswerRun.load(compare_with) if compare_with else None
        sets = read_answer_sets(folders, Sizes(max_documents, queries, off_topic, seed))
        settings = {"queries": queries, "max_documents": max_documents, "off_topic": off_topic, "seed": seed}
        run = execute(sets, settings | {"judge": judge}, url, judge, concurrency)
    if save:
        run.save(save)
    if plot:
        draw_answers(run.sets, plot)
    fell = saved is not None and _fell(saved, run, tolerance)
    if _below(run, gates if check else []) or fell:
        raise typer.Exit(1)


def _below(run: "AnswerRun", gates: "list[Gate]") -> bool:
    from serve.cli.eval.answers.compare import below

    lines = below(run, gates)
    for line in lines:
        typer.echo(line)
    return bool(lines)


def _fell(saved: "AnswerRun", run: "AnswerRun", tolerance: float) -> bool:
    from serve.cli.eval.answers.compare import compare_answers
    from serve.cli.eval.report import TABLE_WIDTH, print_differences

    with _usage_errors():
        differences = compare_answers(saved, run)
    title = f"compared with the run of {saved.created_at}"
    print_differences(table_console(TABLE_WIDTH), title, differences, tolerance)
    return any(difference.fell_by_more_than(tolerance) for difference in differences)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Report invalid input as typer reports an invalid option: exit code 2."""
    try:
        yield
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None
