"""Every panel of a dashboard, drawn from Prometheus' answers over a run."""

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.incidents.prometheus import MONITORING, Prometheus, legend, panel_expressions

COLUMNS, STEP_S, MAX_LINES = 3, 5.0, 12


def draw_dashboards(prometheus: Prometheus, start: float, end: float, folder: Path) -> list[Path]:
    """A picture of each dashboard between two Unix times."""
    paths = []
    for path in sorted((MONITORING / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        num_rows = -(-len(panels) // COLUMNS)
        figure = Figure(figsize=(6 * COLUMNS, 3.2 * num_rows), layout="constrained")
        for axes, panel in zip(figure.subplots(num_rows, COLUMNS, squeeze=False).flat, panels, strict=False):
            _draw(axes, panel, prometheus, start, end)
        paths.append(folder / f"{path.stem}.png")
        figure.savefig(paths[-1], dpi=70)
    return paths


def _draw(axes: Axes, panel: dict[str, Any], prometheus: Prometheus, start: float, end: float) -> None:
    num_lines = 0
    for expression, template in panel_expressions(panel):
        for series in prometheus.query_range(expression, start, end, STEP_S):
            times, values = zip(*((at - start, float(value)) for at, value in series["values"]), strict=True)
            axes.plot(times, values, ".-", markersize=3, label=legend(template, series["metric"]))
            num_lines += 1
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    axes.set_title(f"{panel['title']} ({unit})", fontsize=9)
    axes.set_xlim(0, end - start)
    axes.set_ylim(bottom=0)
    if not num_lines:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center")
    elif num_lines <= MAX_LINES:
        axes.legend(fontsize=6)
