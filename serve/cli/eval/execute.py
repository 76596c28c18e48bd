"""Evaluate every question set, print each as soon as it is measured, and write the outputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from serve.cli.driver.evaluated_service import EvaluatedService
from serve.cli.driver.question_set import QuestionSet
from serve.cli.eval.evaluate import Options, Report, evaluate
from serve.cli.eval.measures import Rankings
from serve.cli.eval.report import print_set
from serve.cli.eval.run import Run, SetRun
from serve.cli.eval.trec import write_qrels, write_run


@dataclass(frozen=True)
class Outputs:
    """Files to write; None: do not write it. `run_files` is a folder for files in trec_eval's format."""

    save: Path | None
    plot: Path | None
    run_files: Path | None


def execute(
    service: EvaluatedService,
    question_sets: list[QuestionSet],
    options: Options,
    settings: dict[str, Any],
    outputs: Outputs,
    console: Console,
) -> Run:
    """Measure the sets one after the other. Raises RemoteError."""
    models = {name: stage["model"] for name, stage in service.readiness()["stages"].items() if stage["model"]}
    sets = [_measure_set(service, questions, options, outputs.run_files, console) for questions in question_sets]
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    run = Run(created_at=created_at, settings=settings, models=models, sets=sets)
    if outputs.save:
        run.save(outputs.save)
    if outputs.plot:
        from serve.cli.eval.plot import draw  # loads matplotlib

        draw(run.sets, outputs.plot)
    return run


def _measure_set(
    service: EvaluatedService, questions: QuestionSet, options: Options, run_files: Path | None, console: Console
) -> SetRun:
    with progress_bar(console) as report:
        measured, rankings = evaluate(service, questions, options, report)
    print_set(console, measured)
    if run_files:
        _write_run_files(run_files, questions, rankings)
    return measured


def _write_run_files(folder: Path, questions: QuestionSet, rankings: dict[str, Rankings]) -> None:
    write_qrels(folder / f"{questions.name}.qrels", questions.qrels)
    for mode, ranking in rankings.items():
        write_run(folder / f"{questions.name}.{mode}.run", ranking, mode)


@contextmanager
def progress_bar(console: Console) -> Iterator[Report]:
    """One progress bar, removed when the block ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("")
        yield lambda step, done, total: progress.update(task, description=step, completed=done, total=total)
