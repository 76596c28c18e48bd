"""A run as tables on the console."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from serve.cli.eval.compare import Difference
from serve.cli.eval.measures import Estimate
from serve.cli.eval.run import SetRun

TABLE_WIDTH = 132  # where the output is no terminal
COLUMNS = ("set", "mode", "against", "metric", "questions", "baseline", "measured", "change", "95 % interval", "")
EXCLUSIONS = {
    "unjudged_queries": "questions have no relevant document and were not asked",
    "unknown_queries": "questions of the qrels are not among the queries",
    "unknown_documents": "documents of the qrels are not in the corpus; they count as not found",
    "blank_documents": "documents have no text and were not uploaded",
}


def print_set(console: Console, measured: SetRun) -> None:
    """One row per mode, one column per metric. The best value of a column is bold; ± is half the 95 % interval."""
    estimates = {mode: mode_run.estimates for mode, mode_run in measured.modes.items()}
    metrics = list(dict.fromkeys(metric for row in estimates.values() for metric in row))
    best = {metric: max(row[metric].mean for row in estimates.values() if metric in row) for metric in metrics}
    table = Table("mode")
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for mode, row in estimates.items():
        table.add_row(mode, *(_cell(row[metric], row[metric].mean == best[metric]) for metric in metrics))
    title = f"{measured.name}: {len(measured.query_ids):,} questions, {measured.num_documents:,} documents"
    console.print(title, markup=False, style="bold")
    console.print(table)
    print_notes(console, _caveats(measured))


def print_differences(console: Console, title: str, differences: Sequence[Difference], tolerance: float) -> None:
    """One row per change. A fall beyond the tolerance is red; a star marks an interval that excludes zero."""
    table = Table(*COLUMNS)
    changed = [difference for difference in differences if not difference.is_zero]
    for difference in changed:
        fell = difference.fell_by_more_than(tolerance)
        table.add_row(*_difference_cells(difference), "fell" if fell else "", style="red" if fell else None)
    console.print(title, markup=False, style="bold")
    if changed:
        console.print(table)
    if len(changed) < len(differences):
        console.print(f"{len(differences) - len(changed):,} metrics are the same for every question")


def print_notes(console: Console, notes: Sequence[str]) -> None:
    for note in notes:
        console.print(note, markup=False, style="yellow")


def _difference_cells(difference: Difference) -> tuple[str, ...]:
    change = difference.change
    return (
        difference.set_name,
        difference.mode,
        difference.against,
        difference.metric,
        f"{difference.num_queries:,}",
        f"{difference.old:.4f}",
        f"{difference.new:.4f}",
        f"{change.mean:+.4f}{'*' if difference.is_significant else ' '}",
        f"{change.low:+.4f} to {change.high:+.4f}",
    )


def _cell(estimate: Estimate, is_best: bool) -> str:
    cell = f"{estimate.mean:.3f} ±{estimate.margin:.3f}"
    return f"[bold]{cell}[/bold]" if is_best else cell


def _caveats(measured: SetRun) -> list[str]:
    """What limits the trust in the figures: excluded queries and documents, degraded searches."""
    excluded = [f"{count:,} {EXCLUSIONS.get(name, name)}" for name, count in measured.left_out.items() if count]
    degraded = [
        f"{mode}: {mode_run.num_degraded:,} searches skipped a stage; the figures are not those of the full mode"
        for mode, mode_run in measured.modes.items()
        if mode_run.num_degraded
    ]
    return excluded + degraded
