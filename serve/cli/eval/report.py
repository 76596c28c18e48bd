"""A run as tables for a person."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from serve.cli.eval.compare import Difference
from serve.cli.eval.measures import Estimate
from serve.cli.eval.run import SetRun


def print_set(console: Console, measured: SetRun) -> None:
    """A row a mode, a column a metric; the best of each column is bold, ± is half the 95 % interval."""
    rows = {mode: one.estimates for mode, one in measured.modes.items()}
    metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    best = {metric: max(row[metric].mean for row in rows.values() if metric in row) for metric in metrics}
    title = f"{measured.name}: {len(measured.query_ids):,} questions, {measured.num_documents:,} documents"
    table = Table("mode")
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for mode, row in rows.items():
        table.add_row(mode, *(_cell(row[metric], row[metric].mean == best[metric]) for metric in metrics))
    console.print(title, markup=False, style="bold")
    console.print(table)
    for line in _remarks(measured):
        console.print(line, markup=False, style="yellow")


def print_differences(console: Console, title: str, differences: Sequence[Difference], tolerance: float) -> None:
    """A row for each that is one; a fall beyond the tolerance is red, one whose interval leaves out zero has a star."""
    columns = ("set", "mode", "against", "metric", "questions", "baseline", "measured", "change", "95 % interval", "")
    table = Table(*columns)
    changed = [one for one in differences if not one.is_none]
    for one in changed:
        change = one.change
        fell = one.fell_by_more_than(tolerance)
        table.add_row(
            *(
                one.set_name,
                one.mode,
                one.against,
                one.metric,
                f"{one.num_queries:,}",
                f"{one.old:.4f}",
                f"{one.new:.4f}",
            ),
            f"{change.mean:+.4f}{'*' if one.is_sure else ' '}",
            f"{change.low:+.4f} to {change.high:+.4f}",
            "fell" if fell else "",
            style="red" if fell else None,
        )
    console.print(title, markup=False, style="bold")
    if changed:
        console.print(table)
    if len(changed) < len(differences):
        console.print(f"{len(differences) - len(changed):,} figures are the same for every question")


def _cell(estimate: Estimate, is_best: bool) -> str:
    cell = f"{estimate.mean:.3f} ±{estimate.margin:.3f}"
    return f"[bold]{cell}[/bold]" if is_best else cell


def _remarks(measured: SetRun) -> list[str]:
    """What a reader must know before trusting the figures."""
    meanings = {
        "unjudged_queries": "questions have no relevant document and were not asked",
        "unknown_queries": "questions of the qrels are not among the queries",
        "unknown_documents": "documents of the qrels are not in the corpus; they count as not found",
        "blank_documents": "documents have no text and were not uploaded",
    }
    left_out = [f"{count:,} {meanings.get(name, name)}" for name, count in measured.left_out.items() if count]
    degraded = [
        f"{mode}: {one.num_degraded:,} searches went without one of their stages; its figures are not its own"
        for mode, one in measured.modes.items()
        if one.num_degraded
    ]
    return left_out + degraded
