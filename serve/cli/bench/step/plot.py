"""A run of `ragserve bench step` as a picture: the load, the latency, and the replicas of each stage over time."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serve.cli.bench.step.plan import ASK
from serve.cli.bench.step.run import StepResult
from serve.cli.bench.step.summary import SentRequest, spans_of
from serve.cli.driver.closed_loop import percentile

INCHES, DPI = (9.0, 7.5), 150
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple")
OFFSET = 0.07  # between the lines of stages with as many replicas
MIDDLE_COLOUR = "0.95"


def draw(result: StepResult, path: Path) -> None:
    """Writes the picture; the suffix names the format."""
    figure = Figure(figsize=INCHES, layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2, 2, 3))
    questions = [request for request in result.sent if request.path == ASK]
    end = sum(phase.seconds for phase in result.plan.phases)
    _draw_load(top, questions, int(end))
    _draw_latency(middle, questions, int(end), result.plan.budget_s)
    _draw_replicas(bottom, result)
    for axes in (top, middle, bottom):
        _mark_phases(axes, result)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    for phase, (start, _) in zip(result.plan.phases, spans_of(result.plan.phases), strict=True):
        top.annotate(phase.name, (start + 1, 1.0), xycoords=("data", "axes fraction"), fontsize=9, va="top")
    bottom.set_xlim(0, end)
    bottom.set_xlabel("seconds", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def per_second(times: Sequence[float], num_seconds: int) -> list[int]:
    """Number of times in each second."""
    counts = [0] * num_seconds
    for at_s in times:
        if 0 <= at_s < num_seconds:
            counts[int(at_s)] += 1
    return counts


def p95_per_second(questions: Sequence[SentRequest], num_seconds: int) -> list[float]:
    """Of the questions sent in each second; NaN without questions, or if the percentile is of a failed one."""
    latencies: list[list[float]] = [[] for _ in range(num_seconds)]
    for question in questions:
        if 0 <= question.at_s < num_seconds:
            latencies[int(question.at_s)].append(math.inf if question.error else question.latency_s)
    p95s = (percentile(sorted(times), 0.95) if times else math.inf for times in latencies)
    return [p95 if math.isfinite(p95) else math.nan for p95 in p95s]


def _draw_load(axes: Axes, questions: Sequence[SentRequest], num_seconds: int) -> None:
    done = [question.ended_s for question in questions if not question.error]
    _draw_steps(axes, per_second([question.at_s for question in questions], num_seconds), "0.6", "sent")
    _draw_steps(axes, per_second(done, num_seconds), "tab:blue", "answered")
    axes.set_ylabel("questions/s", fontsize=9)
    axes.set_ylim(bottom=0)


def _draw_latency(axes: Axes, questions: Sequence[SentRequest], num_seconds: int, budget_s: float) -> None:
    _draw_steps(axes, p95_per_second(questions, num_seconds), "tab:blue", "p95 of each second")
    axes.axhline(budget_s, color="tab:red", ls="--", lw=1, label=f"budget {budget_s:g} s")
    axes.set_ylabel("seconds to the answer", fontsize=9)
    axes.set_ylim(bottom=0)


def _draw_steps(axes: Axes, values: Sequence[float], colour: str, label: str) -> None:
    """One value a second, drawn over the whole second."""
    axes.step(range(len(values)), values, colour, where="post", lw=1, label=label)


def _draw_replicas(axes: Axes, result: StepResult) -> None:
    times = [sample.at_s for sample in result.samples]
    stages = list(result.samples[0].replicas)
    for place, (stage, colour) in enumerate(zip(stages, COLOURS, strict=True)):
        shift = OFFSET * (place - len(stages) // 2)
        counts = [sample.replicas[stage] + shift for sample in result.samples]
        axes.step(times, counts, colour, where="post", lw=1.5, label=stage)
    most = max(max(sample.replicas.values()) for sample in result.samples)
    axes.set_yticks(range(most + 1))
    axes.set_ylim(-0.3, most + 0.4)
    axes.grid(axis="y", color="0.9", lw=0.5)
    axes.set_axisbelow(True)
    axes.set_ylabel("replicas that run", fontsize=9)


def _mark_phases(axes: Axes, result: StepResult) -> None:
    _, (start, end), _ = spans_of(result.plan.phases)
    axes.axvspan(start, end, color=MIDDLE_COLOUR, zorder=0)
