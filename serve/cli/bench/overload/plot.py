"""The findings of `ragserve bench overload` as a picture: goodput and latency over the offered rate."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serve.cli.bench.overload.findings import MIN_GOODPUT, Findings, OverloadRow

SIZE_INCHES, DPI = (9.0, 3.4), 150
OURS, REFUSED, IDEAL = "tab:blue", "tab:red", "0.6"


def draw(findings: Findings, turns: Sequence[OverloadRow], path: Path) -> None:
    """Writes the picture; the suffix names the format. Every turn is a dot; the median turns are joined by a line."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    goodput, latency = figure.subplots(1, 2)
    _draw_goodput(goodput, findings, turns)
    _draw_latency(latency, findings)
    for axes in (goodput, latency):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("questions offered, in parts of the peak", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _draw_goodput(axes: Axes, findings: Findings, turns: Sequence[OverloadRow]) -> None:
    """Relative to the peak of each round: peaks differ when other work runs on the machine."""
    offered = [row.result.offered / row.peak for row in findings.rows]
    whole = [row.result.whole / row.peak for row in findings.rows]
    refused = [
        sum(row.result.refused.values()) / row.result.requests * multiple
        for row, multiple in zip(findings.rows, offered, strict=True)
    ]
    axes.plot([0, 1, max(1.0, *offered)], [0, 1, 1], ":", color=IDEAL, label="ideal")
    axes.axhline(MIN_GOODPUT, color=IDEAL, linewidth=0.6, label=f"{MIN_GOODPUT:g} of the peak")
    axes.plot(offered, whole, "o-", color=OURS, label="answered whole")
    points = [(turn.result.offered / turn.peak, turn.result.whole / turn.peak) for turn in turns]
    axes.plot(*zip(*points, strict=True), ".", color=OURS, alpha=0.4)
    axes.plot(offered, refused, "s--", color=REFUSED, markersize=3, label="refused")
    axes.set_title("in parts of the peak", loc="left", fontsize=8)


def _draw_latency(axes: Axes, findings: Findings) -> None:
    offered = [row.result.offered / row.peak for row in findings.rows]
    for label, alpha, values in (
        ("p50", 0.4, [row.result.p50_s for row in findings.rows]),
        ("p95", 0.7, [row.result.p95_s for row in findings.rows]),
        ("p99", 1.0, [row.result.p99_s for row in findings.rows]),
    ):
        axes.plot(offered, values, "o-", color=OURS, alpha=alpha, markersize=3, label=f"whole answers, {label}")
    refusals = [
        (row.result.offered / row.peak, row.result.refusal_p99_s) for row in findings.rows if row.result.refused
    ]
    if refusals:
        axes.plot(*zip(*refusals, strict=True), "s--", color=REFUSED, markersize=3, label="refusals, p99")
    axes.set_title("seconds", loc="left", fontsize=8)
