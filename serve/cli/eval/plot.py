"""A run as a bar chart: one panel per question set, one group per metric, one bar per mode with its 95 % interval."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serve.cli.eval.measures import Estimate
from serve.cli.eval.run import SetRun

PANEL_INCHES = (11.0, 3.4)
GROUP_WIDTH = 0.82
DPI = 150


def draw(sets: Sequence[SetRun], path: Path) -> None:
    """Write the chart. The suffix of `path` sets the format: .png, .svg or .pdf."""
    with panels(len(sets), path) as axes_of_sets:
        for axes, measured in zip(axes_of_sets, sets, strict=True):
            _draw_set(axes, measured)
        axes_of_sets[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=len(sets[0].modes), frameon=False)


@contextmanager
def panels(count: int, path: Path) -> Iterator[list[Axes]]:
    """Axes for `count` panels, one below the other. The chart is written to `path` when the block ends."""
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * count), layout="constrained")
    yield list(figure.subplots(count, 1, squeeze=False)[:, 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _draw_set(axes: Axes, measured: SetRun) -> None:
    metrics = list(dict.fromkeys(metric for mode in measured.modes.values() for metric in mode.values))
    width = GROUP_WIDTH / len(measured.modes)
    for position, (name, mode) in enumerate(measured.modes.items()):
        centres = [group - GROUP_WIDTH / 2 + (position + 0.5) * width for group in range(len(metrics))]
        estimates = mode.estimates
        _draw_bars(axes, [estimates[metric] for metric in metrics], centres, width * 0.94, name)
    axes.set_title(
        f"{measured.name}: {len(measured.query_ids):,} questions, {measured.num_documents:,} documents", loc="left"
    )
    axes.set_xticks(range(len(metrics)), metrics)
    axes.set_xlim(-0.5, len(metrics) - 0.5)
    axes.set_ylim(0, 1.05)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_bars(axes: Axes, estimates: list[Estimate], centres: list[float], width: float, name: str) -> None:
    """One bar per estimate, with its interval and its value above."""
    means = [estimate.mean for estimate in estimates]
    below = [estimate.mean - estimate.low for estimate in estimates]
    above = [estimate.high - estimate.mean for estimate in estimates]
    axes.bar(centres, means, width, label=name)
    axes.errorbar(centres, means, [below, above], fmt="none", ecolor="0.25", elinewidth=0.8, capsize=1.5)
    for centre, estimate in zip(centres, estimates, strict=True):
        value = f"{estimate.mean:.2f}".removeprefix("0")
        axes.text(centre, estimate.high + 0.012, value, ha="center", va="bottom", fontsize=6.5)
