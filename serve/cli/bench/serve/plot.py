"""The results of `ragserve bench serve` as a picture: questions a second, time of retrieval, CPU beside the limit."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serve.cli.bench.serve.rows import COLD, MAX_RETRIEVAL_S, TARGET_CLIENTS, WARM, LoadRow, Results
from serve.cli.bench.serve.tables import LIBRARIES, clients_of
from serve.cli.driver.stage_times import RETRIEVAL

INCHES, DPI = (11.0, 3.4), 150
COLOURS = {COLD: "tab:blue", WARM: "tab:orange"}
WIDTH = 0.38
MIN_LABELLED = 0.04  # of a bar: a smaller piece gets no label


def draw(results: Results, path: Path) -> None:
    """Writes the picture; the suffix names the format."""
    figure = Figure(figsize=INCHES, layout="constrained")
    throughput, retrieval, cpu = figure.subplots(1, 3)
    _draw_throughput(throughput, results)
    _draw_retrieval(retrieval, results)
    _draw_cpu(cpu, results)
    for axes in (throughput, retrieval, cpu):
        axes.tick_params(labelsize=7)
        axes.margins(y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def _draw_throughput(axes: Axes, results: Results) -> None:
    clients = list(dict.fromkeys(row.clients for row in results.rows if row.questions == COLD))
    for number, questions in enumerate((COLD, WARM)):
        rows = [row for count in clients if (row := results.row(questions, count)) is not None]
        places = np.array([clients.index(row.clients) for row in rows]) + (number - 0.5) * WIDTH
        bars = axes.bar(places, [row.per_s for row in rows], WIDTH, label=questions, color=COLOURS[questions])
        axes.bar_label(bars, [f"{row.per_s:.1f}" for row in rows], padding=2, fontsize=7)
    axes.set_xticks(range(len(clients)), [f"{count} client{'s' if count > 1 else ''}" for count in clients])
    axes.set_title("questions/s, more is better", loc="left", fontsize=8)
    axes.legend(fontsize=7, frameon=False)


def _draw_retrieval(axes: Axes, results: Results) -> None:
    rows = [row for row in results.rows if RETRIEVAL in row.stages and row.questions.startswith(COLD)]
    places = np.arange(len(rows))
    for number, (name, colour) in enumerate((("p50_s", "0.7"), ("p95_s", "tab:blue"))):
        times_ms = [1000 * getattr(row.stages[RETRIEVAL], name) for row in rows]
        bars = axes.bar(places + (number - 0.5) * WIDTH, times_ms, WIDTH, label=name.removesuffix("_s"), color=colour)
        axes.bar_label(bars, [f"{time_ms:,.0f}" for time_ms in times_ms], padding=2, fontsize=7)
    axes.axhline(1000 * MAX_RETRIEVAL_S, color="tab:red", linewidth=0.6, label="target at half of the peak")
    axes.set_xticks(places, [_name(row) for row in rows])
    axes.set_title("retrieval in ms, less is better", loc="left", fontsize=8)
    axes.legend(fontsize=7, frameon=False)


def _name(row: LoadRow) -> str:
    return f"{row.questions.partition(',')[0]}\n{clients_of(row)}{'' if row.offered else ' clients'}"


def _draw_cpu(axes: Axes, results: Results) -> None:
    """A bar a process's CPU, beside a bar of the libraries' own."""
    bars = dict[str, dict[str, float]]()
    row = results.row(COLD, TARGET_CLIENTS) or results.row(COLD)
    if row is not None:
        bars[f"ragserve, {row.clients} clients"] = row.cpu_ms
    if results.limit is not None:
        bars["the libraries alone"] = {label: getattr(results.limit, name) for name, label in LIBRARIES.items()}
    highest = max((sum(pieces.values()) for pieces in bars.values()), default=1.0)
    for place, pieces in enumerate(bars.values()):
        bottom = 0.0
        for number, (name, cpu_ms) in enumerate(sorted(pieces.items(), key=lambda piece: -piece[1])):
            axes.bar(place, cpu_ms, 0.6, bottom, color=f"C{number}", alpha=0.6)
            if cpu_ms > MIN_LABELLED * highest:
                axes.text(place, bottom + cpu_ms / 2, f"{name} {cpu_ms:.1f}", ha="center", va="center", fontsize=6)
            bottom += cpu_ms
        axes.text(place, bottom, f"{bottom:.1f}", ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(bars)), list(bars))
    axes.set_title("CPU ms of an unseen question, less is better", loc="left", fontsize=8)
