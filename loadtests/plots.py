"""The plots of a report: what ended in each second of the run. A single point is drawn too."""

from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.budgets import quantile
from loadtests.recorder import Recorder, Sample
from loadtests.tables import stages_and_first_texts

# Without a marker, a line of one point is nothing.
LINE: dict[str, Any] = {"linewidth": 1.2, "marker": ".", "markersize": 5}
PROBLEMS = {"failed": "-", "degraded": "--"}  # black; no endpoint is


def draw_endpoints(recorder: Recorder) -> Figure:
    figure = Figure(figsize=(10, 7), layout="constrained")
    rate, latency = figure.subplots(2, 1, sharex=True)
    length = _num_seconds(recorder)
    for name, samples in sorted(recorder.requests.items()):
        good = by_second([sample for sample in samples if not sample.failed], length)
        rate.plot([len(values) for values in good], label=name, **LINE)
        latency.plot(_quantiles(good, 0.95), **LINE)
    everything = [sample for samples in recorder.requests.values() for sample in samples]
    for label, style in PROBLEMS.items():
        if problems := [sample for sample in everything if getattr(sample, label)]:
            counts = [len(values) for values in by_second(problems, length)]
            rate.plot(counts, label=label, color="black", linestyle=style, **LINE)
    _draw_users(rate, recorder)
    _label(rate, "answers a second")
    _label(latency, "p95 of a second, s")
    rate.set_ylim(bottom=0)
    latency.set_ylim(bottom=0)
    latency.set_xlabel("seconds")
    _legend(figure, rate)
    return figure


def draw_stages(recorder: Recorder) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"].colors)
    for name, samples in sorted(stages_and_first_texts(recorder).items()):
        good = [sample for sample in samples if not sample.failed]
        axes.plot(_quantiles(by_second(good, _num_seconds(recorder)), 0.5), label=name, **LINE)
    _label(axes, "median of a second, s")
    axes.set_xlabel("seconds")
    if axes.lines:
        axes.set_yscale("log")
    _legend(figure, axes)
    return figure


def by_second(samples: Sequence[Sample], num_seconds: int) -> list[list[float]]:
    """The durations that ended in each second of the run, and after it in the last."""
    values: list[list[float]] = [[] for _ in range(num_seconds)]
    for sample in samples:
        values[min(int(sample.at_s), num_seconds - 1)].append(sample.seconds)
    return values


def _num_seconds(recorder: Recorder) -> int:
    return max(1, round(recorder.duration_s))


def _quantiles(values: Sequence[Sequence[float]], fraction: float) -> list[float]:
    """NaN for a second without a value: there is a gap in the line."""
    return [quantile(durations, fraction) if durations else float("nan") for durations in values]


def _draw_users(axes: Axes, recorder: Recorder) -> None:
    users = axes.twinx()
    users.step(*zip(*recorder.users, strict=True), color="0.6", where="post") if recorder.users else None
    users.set_ylabel("users", color="0.4")
    users.set_ylim(bottom=0)


def _legend(figure: Figure, axes: Axes) -> None:
    """What each line is; in words, where nothing was measured."""
    if axes.lines:
        figure.legend(loc="outside upper left", fontsize=8, ncols=8, frameon=False)
    else:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color="0.4")


def _label(axes: Axes, text: str) -> None:
    axes.set_ylabel(text)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
