"""The rows of `ragserve bench models` as a picture: a panel a measurement, a bar a server, ours in blue."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serve.cli.bench.models.rows import Row
from serve.cli.driver.servers import OURS

NUM_COLUMNS = 3
PANEL_INCHES = (4.6, 2.3)
OUR_COLOUR, THEIR_COLOUR, SHORT_COLOUR = "tab:blue", "0.7", "tab:red"
DPI, TITLE_CHARS = 150, 44


def draw(rows: Sequence[Row], path: Path) -> None:
    """Writes the picture; the suffix names the format. Skipped rows are left out."""
    panels: dict[str, list[Row]] = {}
    for row in rows:
        if row.value is not None:
            panels.setdefault(f"{row.what} ({row.unit})", []).append(row)
    # A single bar compares nothing.
    panels = {title: shown for title, shown in panels.items() if len(shown) > 1}
    num_lines = max(1, math.ceil(len(panels) / NUM_COLUMNS))
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * NUM_COLUMNS, height * num_lines), layout="constrained")
    grid = figure.subplots(num_lines, NUM_COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    for axes, (title, shown) in zip(grid.flat, panels.items(), strict=False):
        _draw_panel(axes, title, shown)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _draw_panel(axes: Axes, title: str, rows: Sequence[Row]) -> None:
    values = [row.value or 0.0 for row in rows]
    bars = axes.barh([row.by for row in rows], values, color=[_colour(row) for row in rows])
    axes.bar_label(bars, [_label(row) for row in rows], padding=3, fontsize=7)
    axes.set_title("\n".join(textwrap.wrap(title, TITLE_CHARS)), loc="left", fontsize=8)
    axes.set_xlim(0, max(values) * 1.35 or 1)
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_visible(True)


def _colour(row: Row) -> str:
    if row.by.startswith(OURS):
        return OUR_COLOUR
    return SHORT_COLOUR if row.is_short else THEIR_COLOUR


def _label(row: Row) -> str:
    value = f"{row.value:,.0f}"
    if row.compared is None or row.target is None:
        return value
    return f"{value}  ({row.compared:+.1f} ms)" if row.target.is_difference else f"{value}  (x{row.compared:.2f})"
