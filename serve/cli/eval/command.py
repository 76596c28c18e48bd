"""The command `ragserve eval`. Exits with 0 on success, 1 for a regression or a failed search, 2 for invalid input."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors.requests import InvalidRequestError
from serve.cli.options import DEFAULT_URL, UrlOption, table_console

if TYPE_CHECKING:
    from rich.console import Console

    from serve.cli.driver.question_set import QuestionSet
    from serve.cli.eval.evaluate import Options
    from serve.cli.eval.run import Run

DEFAULT_KS = (5, 10)
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
MODES_HELP = (
    "Search modes, comma-separated: bm25, dense, rrf, hybrid, reranked, auto, default. "
    "[default: bm25,dense,rrf,hybrid,reranked]"
)


FoldersArgument = Annotated[
    list[Path], typer.Argument(help="Question sets in BEIR's layout.", exists=True, file_okay=False)
]
ModesOption = Annotated[str, typer.Option(help=MODES_HELP)]
KOption = Annotated[
    list[int] | None, typer.Option(help="Cut-off of recall and precision; repeatable. [default: 5, 10]")
]
QueriesOption = Annotated[int | None, typer.Option(help="Sample this many questions of each set; default: all.", min=1)]
SeedOption = Annotated[int, typer.Option(help="Seed of the sample.")]
SplitOption = Annotated[str, typer.Option(help="Which file of qrels/ to use: test, dev or train.")]
ChunkingOption = Annotated[
    str,
    typer.Option(
        help="static: one passage per document; auto: the service's own chunking. A list of strategies, or all: "
        "compare them, by default in mode `default`."
    ),
]
DocumentsOption = Annotated[
    int | None,
    typer.Option(help="Index this many documents a set, relevant ones first; default: all.", min=1),
]
ConcurrencyOption = Annotated[int, typer.Option(help="Concurrent requests.", min=1, max=64)]
DeleteOption = Annotated[
    bool, typer.Option("--delete/--keep", help="Delete the vector stores and files afterwards, or keep them.")
]
SaveOption = Annotated[Path | None, typer.Option(help="Write the run to this JSON file.", dir_okay=False)]
CompareOption = Annotated[
    Path | None,
    typer.Option("--compare", help="Compare with this saved run; exit with 1 if a metric fell.", dir_okay=False),
]
CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Exit with 1 if hybrid is worse than bm25 or dense, or reranked worse than hybrid."),
]
ToleranceOption = Annotated[float, typer.Option(help="Ignore a fall of a mean up to this size.", min=0, max=1)]
PlotOption = Annotated[Path | None, typer.Option(help="Write a chart: .png, .svg or .pdf.", dir_okay=False)]
RunFilesOption = Annotated[
    Path | None, typer.Option(help="Folder for run and qrels files in trec_eval's format.", file_okay=False)
]


# A command's options are its arguments.
def evaluate(  # noqa: PLR0913
    folders: FoldersArgument,
    url: UrlOption = DEFAULT_URL,
    modes: ModesOption = "",
    k: KOption = None,
    queries: QueriesOption = None,
    seed: SeedOption = 0,
    split: SplitOption = "test",
    documents: DocumentsOption = None,
    chunking: ChunkingOption = "static",
    concurrency: ConcurrencyOption = 8,
    delete: DeleteOption = False,
    save: SaveOption = None,
    compare_with: CompareOption = None,
    check: CheckOption = False,
    tolerance: ToleranceOption = 0.005,
    plot: PlotOption = None,
    run_files: RunFilesOption = None,
) -> None:
    """Measure retrieval quality on question sets.

    Reports nDCG@10, MRR@10, recall and precision of each search mode, with 95 % intervals.
    """
    from serve.cli.driver.evaluated_service import EvaluatedService
    from serve.cli.eval.chunkings import parse_chunkings
    from serve.cli.eval.evaluate import Options
    from serve.cli.eval.execute import Outputs, execute
    from serve.cli.eval.modes import DEFAULT_MODES, parse_modes
    from serve.cli.eval.report import TABLE_WIDTH
    from serve.cli.eval.run import Run

    with _usage_errors():
        chunkings = parse_chunkings(chunking)
        chosen = parse_modes(modes or ("default" if len(chunkings) > 1 else ",".join(DEFAULT_MODES)))
        options = Options(chosen, _checked_ks(k), chunkings[0], concurrency, delete)
        question_sets = _read_sets(folders, split, queries, seed, documents)
        if len(chunkings) > 1:
            _refuse_of_one_chunking(compare_with=compare_with, check=check, plot=plot, run_files=run_files)
            return _compare_chunkings(url, question_sets, chunkings, options, save)
        saved = Run.load(compare_with) if compare_with else None
        _check_outputs(question_sets, saved, plot, run_files)
    settings = {"chunking": chunking, "split": split, "queries": queries, "seed": seed}
    console = table_console(TABLE_WIDTH)
    with EvaluatedService(url) as service:
        run = execute(service, question_sets, options, settings, Outputs(save, plot, run_files), console)
    with _usage_errors():
        regressed = _regressed(console, run, saved, check, tolerance)
    if regressed or run.num_degraded:
        raise typer.Exit(1)


def _refuse_of_one_chunking(**options: object) -> None:
    """Raises InvalidRequestError for options that belong to a run with one chunking."""
    for name, value in options.items():
        if value:
            option = name.removesuffix("_with").replace("_", "-")
            raise InvalidRequestError(f"--{option} needs one chunking; leave it out to compare several", option)


def _compare_chunkings(
    url: str, question_sets: "list[QuestionSet]", chunkings: tuple[str, ...], options: "Options", save: Path | None
) -> None:
    """Print a table a set. Exits with 1 if a search skipped a stage."""
    from serve.cli.driver.evaluated_service import EvaluatedService
    from serve.cli.eval.chunkings import StrategyRow, compare_chunkings, print_rows, save_rows
    from serve.cli.eval.execute import progress_bar
    from serve.cli.eval.report import TABLE_WIDTH

    console, rows = table_console(TABLE_WIDTH), list[StrategyRow]()
    with EvaluatedService(url) as service:
        for questions in question_sets:
            with progress_bar(console) as report:
                of_set = compare_chunkings(service, questions, chunkings, options, report)
            print_rows(console, of_set)
            rows += of_set
    if save:
        save_rows(save, rows)
    if any(row.num_degraded for row in rows):
        raise typer.Exit(1)


def _read_sets(
    folders: list[Path], split: str, num_queries: int | None, seed: int, num_documents: int | None
) -> "list[QuestionSet]":
    """Read every set before the first search. Raises InvalidRequestError."""
    from serve.cli.driver.question_set import read_question_set

    sets = [read_question_set(folder, split) for folder in folders]
    names = [questions.name for questions in sets]
    if len(set(names)) < len(names):
        raise InvalidRequestError(f"two folders have the same name: {', '.join(names)}; rename one of them")
    sets = [questions.sample(num_queries, seed) if num_queries else questions for questions in sets]
    return [questions.limit(num_documents) if num_documents else questions for questions in sets]


def _regressed(console: "Console", run: "Run", saved: "Run | None", check: bool, tolerance: float) -> bool:
    """Print the comparisons; true if a metric fell by more than the tolerance. Raises InvalidRequestError."""
    from serve.cli.eval.compare import against_parents, compare
    from serve.cli.eval.report import print_differences, print_notes

    differences = []
    if saved:
        comparison = compare(saved, run)
        print_differences(console, f"compared with the run of {saved.created_at}", comparison.differences, tolerance)
        print_notes(console, comparison.notes)
        differences += comparison.differences
    if check:
        parents = [difference for measured in run.sets for difference in against_parents(measured)]
        print_differences(console, "each mode compared with the modes it combines", parents, tolerance)
        differences += parents
    return any(difference.fell_by_more_than(tolerance) for difference in differences)


def _checked_ks(ks: list[int] | None) -> tuple[int, ...]:
    from serve.cli.driver.evaluated_service import MAX_RESULTS

    for k in ks or ():
        if not 1 <= k <= MAX_RESULTS:
            raise InvalidRequestError(f"k is {k}; it must be 1 to {MAX_RESULTS}, the most results of one search", "k")
    return tuple(sorted(set(ks or DEFAULT_KS)))


def _check_outputs(
    question_sets: "list[QuestionSet]", saved: "Run | None", plot: Path | None, run_files: Path | None
) -> None:
    """Fail before the first search if an output could not be written at the end. Raises InvalidRequestError."""
    from serve.cli.eval.compare import check_documents
    from serve.cli.eval.trec import check_ids

    if saved:
        check_documents(saved, {questions.name: questions.digest for questions in question_sets})
    if run_files:
        for questions in question_sets:
            check_ids(questions)
    if plot and plot.suffix.lower() not in PLOT_SUFFIXES:
        raise InvalidRequestError(f"{plot}: the file name must end in {', '.join(PLOT_SUFFIXES)}", "plot")


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Report invalid input as typer reports an invalid option: exit code 2."""
    try:
        yield
    except InvalidRequestError as error:
        raise typer.BadParameter(str(error)) from None
