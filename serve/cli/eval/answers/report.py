"""A run of `eval answers` as tables and as a chart."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from rich.console import Console
from rich.table import Table

from serve.cli.eval.answers.run import AnswersOfSet
from serve.cli.eval.answers.scores import METRICS
from serve.cli.eval.plot import GROUP_WIDTH, panels


def print_answers(console: Console, measured: AnswersOfSet) -> None:
    """A row a kind of turn, a column a metric; ± is half the 95 % interval. Then the wrong decisions as numbers."""
    metrics = _metrics(measured)
    table = Table("kind of turn", "cases")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for kind, cases in measured.kinds.items():
        estimates = cases.estimates
        cells = [
            f"{estimates[metric].mean:.3f} ±{estimates[metric].margin:.3f}" if metric in estimates else ""
            for metric in metrics
        ]
        table.add_row(kind, f"{cases.num_cases:,}", *cells)
    console.print(f"{measured.name}: {measured.num_documents:,} documents", markup=False, style="bold")
    console.print(table)
    for line in _decisions(measured):
        console.print(line, markup=False)


def draw_answers(sets: Sequence[AnswersOfSet], path: Path) -> None:
    """One panel a set, one group of bars a metric, one bar a kind of turn. The suffix of `path` sets the format."""
    with panels(len(sets), path) as axes_of_sets:
        for axes, measured in zip(axes_of_sets, sets, strict=True):
            _draw_set(axes, measured)


def _metrics(measured: AnswersOfSet) -> list[str]:
    return [metric for metric in METRICS if any(metric in cases.values for cases in measured.kinds.values())]


def _decisions(measured: AnswersOfSet) -> list[str]:
    """How many questions were declined, rightly or wrongly."""
    lines = []
    for kind, cases in measured.kinds.items():
        for metric, verb in (("answered", "declined wrongly"), ("declined", "answered wrongly")):
            values = cases.values.get(metric, {})
            wrong = sum(value < 1 for value in values.values())
            if values:
                lines.append(f"{kind}: {wrong} of {len(values)} {verb} ({100 * wrong / len(values):.1f} %)")
    return lines


def _draw_set(axes: Axes, measured: AnswersOfSet) -> None:
    metrics, width = _metrics(measured), GROUP_WIDTH / len(measured.kinds)
    for position, (kind, cases) in enumerate(measured.kinds.items()):
        offset = -GROUP_WIDTH / 2 + (position + 0.5) * width
        rows = [(place + offset, cases.estimates[name]) for place, name in enumerate(metrics) if name in cases.values]
        places, own = [place for place, _ in rows], [estimate for _, estimate in rows]
        means = [estimate.mean for estimate in own]
        ends = [[each.mean - each.low for each in own], [each.high - each.mean for each in own]]
        axes.bar(places, means, width * 0.94, label=f"{kind} ({cases.num_cases:,})")
        axes.errorbar(places, means, ends, fmt="none", ecolor="0.25", elinewidth=0.8, capsize=1.5)
    axes.set_title(measured.name, loc="left")
    axes.set_xticks(range(len(metrics)), metrics)
    axes.set_ylim(0, 1.05)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0.2, 1.0), ncols=len(measured.kinds), frameon=False, fontsize=8)
