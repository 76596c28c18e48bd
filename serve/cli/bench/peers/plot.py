"""The rows of `ragserve bench peers` as a picture: queries a second and p95, a group of bars a number of clients."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serve.cli.bench.peers.rows import CROSS_ENCODER, Row
from serve.cli.driver.servers import OURS

OUR_COLOUR, THEIR_COLOURS = "tab:blue", ("0.45", "0.7", "0.85")
INCHES, DPI = (9.0, 3.2), 150
GROUP_WIDTH = 0.8


def draw(rows: Sequence[Row], path: Path) -> None:
    """Writes the picture; the suffix names the format."""
    figure = Figure(figsize=INCHES, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_panel(left, "queries/s, more is better", rows, lambda row: row.per_s, "{:.2f}")
    _draw_panel(right, "p95 in ms, less is better", rows, lambda row: row.p95_ms, "{:,.0f}")
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _draw_panel(axes: Axes, title: str, rows: Sequence[Row], value: Callable[[Row], float], label: str) -> None:
    names, groups = list(dict.fromkeys(row.by for row in rows)), list(dict.fromkeys(map(_group, rows)))
    width = GROUP_WIDTH / len(names)
    colours = iter(THEIR_COLOURS)
    for place, name in enumerate(names):
        shown = [row for row in rows if row.by == name]
        at = np.array([groups.index(_group(row)) for row in shown]) + (place - (len(names) - 1) / 2) * width
        colour = OUR_COLOUR if name == OURS else next(colours)
        bars = axes.bar(at, [value(row) for row in shown], width, label=name, color=colour)
        axes.bar_label(bars, [label.format(value(row)) for row in shown], padding=2, fontsize=7)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_title(title, loc="left", fontsize=9)
    axes.margins(y=0.15)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _group(row: Row) -> str:
    reranking = "" if row.mode == CROSS_ENCODER else "\npeers without reranking"
    return f"{row.clients} client{'s' if row.clients > 1 else ''}{reranking}"
