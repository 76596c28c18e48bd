"""The command `ragserve eval`. Exits with 0 if all is well, 1 for a fall or a failure, 2 for unusable input."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from models.errors import InvalidRequestError

if TYPE_CHECKING:
    from serve.cli.driver.evaluated_service import EvaluatedService
    from serve.cli.driver.question_set import QuestionSet
    from serve.cli.eval.evaluate import Options, Report
    from serve.cli.eval.measures import Rankings
    from serve.cli.eval.run import Run

DEFAULT_KS = (5, 10)
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
TABLE_WIDTH = 132  # where no terminal says how wide it is


class Chunking(StrEnum):
    static = "static"
    auto = "auto"


# A command's options are its arguments.
def evaluate_command(  # noqa: PLR0913
    folders: Annotated[
        list[Path], typer.Argument(help="Question sets in BEIR's layout.", exists=True, file_okay=False)
    ],
    url: Annotated[
        str, typer.Option("--url", "-u", envvar="RAGSERVE_URL", help="Where the service listens.")
    ] = "http://127.0.0.1:8000",
    modes: Annotated[
        str, typer.Option(help="Of bm25, dense, rrf, hybrid, reranked, auto, default; separated by commas.")
    ] = "bm25,dense,rrf,hybrid,reranked",
    k: Annotated[
        list[int] | None, typer.Option(help="Recall and precision at this; repeatable. [default: 5, 10]")
    ] = None,
    queries: Annotated[int | None, typer.Option(help="Ask only so many questions of each set.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Which questions --queries picks.")] = 0,
    split: Annotated[str, typer.Option(help="Which of the set's qrels/.")] = "test",
    chunking: Annotated[
        Chunking, typer.Option(help="static: a document is a passage; auto: as the service does by itself.")
    ] = Chunking.static,
    concurrency: Annotated[int, typer.Option(help="Requests at once.", min=1, max=64)] = 8,
    delete: Annotated[
        bool, typer.Option("--delete/--keep", help="Delete the vector stores and files when done.")
    ] = False,
    save: Annotated[Path | None, typer.Option(help="Save the run here, as JSON.", dir_okay=False)] = None,
    compare_with: Annotated[
        Path | None,
        typer.Option("--compare", help="Compare with this saved run; exit with 1 after a fall.", dir_okay=False),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if hybrid is worse than a parent, or reranked than hybrid.")
    ] = False,
    tolerance: Annotated[float, typer.Option(help="A fall up to this is none.", min=0, max=1)] = 0.005,
    plot: Annotated[Path | None, typer.Option(help="Draw the run here: .png, .svg or .pdf.", dir_okay=False)] = None,
    run_files: Annotated[
        Path | None, typer.Option(help="Write run and qrels files for trec_eval into this folder.", file_okay=False)
    ] = None,
) -> None:
    """Measure retrieval on question sets: nDCG@10, MRR@10, recall and precision of every way to search."""
    from serve.cli.driver.evaluated_service import EvaluatedService
    from serve.cli.eval.evaluate import Options
    from serve.cli.eval.modes import parse_modes
    from serve.cli.eval.run import Run

    with _usage_errors():
        options = Options(parse_modes(modes), _checked_ks(k), chunking.value, concurrency, delete)
        question_sets = _read(folders, split, queries, seed)
        saved = Run.load(compare_with) if compare_with else None
        _check_outputs(question_sets, saved, plot, run_files)
    settings = {"chunking": chunking.value, "split": split, "queries": queries, "seed": seed}
    console = _console()
    with EvaluatedService(url) as service:
        run = _run(service, question_sets, options, settings, run_files, console)
    _keep(run, save, plot)
    with _usage_errors():
        fell = _compare(console, saved, run, tolerance) if saved else False
    fell |= check and _check_parents(console, run, tolerance)
    if fell or any(mode.num_degraded for one in run.sets for mode in one.modes.values()):
        raise typer.Exit(1)


def _run(
    service: "EvaluatedService",
    question_sets: "list[QuestionSet]",
    options: "Options",
    settings: dict[str, Any],
    run_files: Path | None,
    console: Console,
) -> "Run":
    """Every set, printed as soon as it is measured."""
    from serve.cli.eval.evaluate import evaluate
    from serve.cli.eval.report import print_set
    from serve.cli.eval.run import Run

    models = {name: stage["model"] for name, stage in service.readiness()["stages"].items() if stage["model"]}
    sets = []
    for questions in question_sets:
        with _progress(console) as report:
            measured, rankings = evaluate(service, questions, options, report)
        print_set(console, measured)
        if run_files:
            _write_run_files(run_files, questions, rankings)
        sets.append(measured)
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Run(created_at=created_at, settings=settings, models=models, sets=sets)


def _read(folders: list[Path], split: str, num_queries: int | None, seed: int) -> "list[QuestionSet]":
    """Every set, before the first is asked. Raises InvalidRequestError."""
    from serve.cli.driver.question_set import read_question_set

    sets = [read_question_set(folder, split) for folder in folders]
    names = [one.name for one in sets]
    if len(set(names)) < len(names):
        raise InvalidRequestError(f"two of the folders have one name: {', '.join(names)}")
    return [one.sample(num_queries, seed) if num_queries else one for one in sets]


def _write_run_files(folder: Path, questions: "QuestionSet", rankings: "dict[str, Rankings]") -> None:
    from serve.cli.eval.trec import write_qrels, write_run

    write_qrels(folder / f"{questions.name}.qrels", questions.qrels)
    for mode, found in rankings.items():
        write_run(folder / f"{questions.name}.{mode}.run", found, mode)


def _keep(run: "Run", save: Path | None, plot: Path | None) -> None:
    if save:
        run.save(save)
    if plot:
        from serve.cli.eval.plot import draw

        draw(run.sets, plot)


def _compare(console: Console, saved: "Run", run: "Run", tolerance: float) -> bool:
    """Prints the differences; whether a metric fell. Raises InvalidRequestError."""
    from serve.cli.eval.compare import compare
    from serve.cli.eval.report import print_differences

    comparison = compare(saved, run)
    print_differences(console, f"against the run of {saved.created_at}", comparison.differences, tolerance)
    for line in comparison.notes:
        console.print(line, markup=False, style="yellow")
    return any(one.fell_by_more_than(tolerance) for one in comparison.differences)


def _check_parents(console: Console, run: "Run", tolerance: float) -> bool:
    """Prints each mode against what it is made of; whether one is worse."""
    from serve.cli.eval.compare import against_parents
    from serve.cli.eval.report import print_differences

    differences = [difference for one in run.sets for difference in against_parents(one)]
    print_differences(console, "against what each mode is made of", differences, tolerance)
    return any(one.fell_by_more_than(tolerance) for one in differences)


def _checked_ks(ks: list[int] | None) -> tuple[int, ...]:
    from serve.cli.driver.evaluated_service import MAX_RESULTS

    for k in ks or ():
        if not 1 <= k <= MAX_RESULTS:
            raise InvalidRequestError(f"k is {k}; it must be 1 to {MAX_RESULTS}, what one search can return", "k")
    return tuple(sorted(set(ks or DEFAULT_KS)))


def _check_outputs(
    question_sets: "list[QuestionSet]", saved: "Run | None", plot: Path | None, run_files: Path | None
) -> None:
    """Whatever would fail at the end fails at the beginning. Raises InvalidRequestError."""
    from serve.cli.eval.compare import check_documents
    from serve.cli.eval.trec import check_ids

    if saved:
        check_documents(saved, {one.name: one.digest for one in question_sets})
    for one in question_sets if run_files else ():
        check_ids(one)
    if plot and plot.suffix.lower() not in PLOT_SUFFIXES:
        raise InvalidRequestError(f"{plot}: a plot ends in {', '.join(PLOT_SUFFIXES)}", "plot")


@contextmanager
def _usage_errors() -> Iterator[None]:
    """What is wrong with the input ends the command as a wrong option does."""
    try:
        yield
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None


@contextmanager
def _progress(console: Console) -> Iterator["Report"]:
    """One bar that shows what is being done, gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("")
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=TABLE_WIDTH)
