"""The report of a run: tables and plots of the endpoints and the stages, as a page and as CSV files."""

import base64
import csv
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.budgets import quantile
from loadtests.recorder import UNBUDGETED, Recorder, Sample

DPI = 110
HEAD = ("name", "count", "errors", "per second", "p50 s", "p95 s", "p99 s")
CSS = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th { border-bottom: 2px solid #444 }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% }
.ok { color: #14633a }
.bad { color: #a11212 }
"""


def write_report(recorder: Recorder, problems: Sequence[str], folder: Path, title: str) -> Path:
    """Write report.html, endpoints.csv, stages.csv and samples.csv; return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    endpoints, stages = rows(recorder.requests), rows(recorder.stages | _first_texts(recorder))
    _write_csv(folder / "endpoints.csv", HEAD, endpoints)
    _write_csv(folder / "stages.csv", HEAD, stages)
    _write_csv(folder / "samples.csv", ("kind", "name", "at_s", "seconds", "failed"), _samples(recorder))
    verdict = _list(problems, "bad") if problems else '<p class="ok">Every endpoint is within its budget.</p>'
    sections = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Load test: {html.escape(title)}</title>",
        f"<style>{CSS}</style><h1>Load test</h1><p>{html.escape(title)}</p>{verdict}",
        f"<h2>Endpoints</h2>{_table(endpoints)}{_image(_draw_endpoints(recorder), 'Endpoints over time')}",
        f"<h2>Stages of a query, timed by the service</h2>{_table(stages)}",
        _image(_draw_stages(recorder), "Stages over time"),
    ]
    path = folder / "report.html"
    path.write_text("\n".join(sections))
    return path


def rows(table: dict[str, list[Sample]]) -> list[tuple[str, ...]]:
    """One row for each name. A rate is over the time from its first request to its last."""
    return [_row(name, samples) for name, samples in sorted(table.items())]


def _row(name: str, samples: list[Sample]) -> tuple[str, ...]:
    good = [sample.seconds for sample in samples if not sample.failed]
    start_s = min(sample.at_s - sample.seconds for sample in samples)
    span_s = max(sample.at_s for sample in samples) - start_s
    quantiles = [f"{quantile(good, fraction):.3f}" if good else "" for fraction in (0.5, 0.95, 0.99)]
    return (name, str(len(samples)), str(len(samples) - len(good)), f"{len(good) / max(span_s, 1e-9):.2f}", *quantiles)


def _first_texts(recorder: Recorder) -> dict[str, list[Sample]]:
    return {f"{name}, first text": samples for name, samples in recorder.first_texts.items()}


def _samples(recorder: Recorder) -> Iterable[tuple[str, ...]]:
    tables = {"request": recorder.requests, "first_text": recorder.first_texts, "stage": recorder.stages}
    for kind, table in tables.items():
        for name, samples in table.items():
            for sample in samples:
                yield kind, name, f"{sample.at_s:.3f}", f"{sample.seconds:.6f}", str(int(sample.failed))


def _draw_endpoints(recorder: Recorder) -> Figure:
    figure = Figure(figsize=(10, 7), layout="constrained")
    rate, latency = figure.subplots(2, 1, sharex=True)
    budgeted = {name: samples for name, samples in recorder.requests.items() if name != UNBUDGETED}
    for name, samples in sorted(budgeted.items()):
        seconds, good = by_second([sample for sample in samples if not sample.failed])
        rate.plot(seconds, [len(values) for values in good], label=name, linewidth=1.2)
        latency.plot(
            seconds, [quantile(values, 0.95) if values else float("nan") for values in good], marker=".", linewidth=1.2
        )
    failures = [sample for samples in recorder.requests.values() for sample in samples if sample.failed]
    if failures:
        seconds, bad = by_second(failures)
        rate.plot(seconds, [len(values) for values in bad], label="failed", color="crimson", linewidth=2)
    users = rate.twinx()
    users.step([at for at, _ in recorder.users], [count for _, count in recorder.users], color="0.6", where="post")
    users.set_ylabel("users", color="0.4")
    users.set_ylim(bottom=0)
    _label(rate, "answers a second")
    _label(latency, "p95 of a second, s")
    latency.set_xlabel("seconds")
    figure.legend(loc="outside upper left", fontsize=8, ncols=8, frameon=False)
    return figure


def _draw_stages(recorder: Recorder) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    for name, samples in sorted((recorder.stages | _first_texts(recorder)).items()):
        seconds, values = by_second(samples)
        medians = [quantile(durations, 0.5) if durations else float("nan") for durations in values]
        axes.plot(seconds, medians, label=name, linewidth=1.2)
    if recorder.stages:
        axes.set_yscale("log")
        figure.legend(loc="outside upper left", fontsize=8, ncols=6, frameon=False)
    _label(axes, "median of a second, s")
    axes.set_xlabel("seconds")
    return figure


def by_second(samples: Sequence[Sample]) -> tuple[list[int], list[list[float]]]:
    """The seconds of the run from the first sample to the last, and the durations that ended in each."""
    if not samples:
        return [], []
    first, last = (int(edge(sample.at_s for sample in samples)) for edge in (min, max))
    values: list[list[float]] = [[] for _ in range(first, last + 1)]
    for sample in samples:
        values[int(sample.at_s) - first].append(sample.seconds)
    return list(range(first, last + 1)), values


def _label(axes: Axes, text: str) -> None:
    axes.set_ylabel(text)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _image(figure: Figure, alt_text: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return f'<img alt="{alt_text}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _table(lines: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{name}" for name in HEAD)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line) for line in lines)
    return f"<table><tr>{head}{body}</table>"


def _list(lines: Sequence[str], kind: str) -> str:
    return f'<ul class="{kind}">' + "".join(f"<li>{html.escape(line)}" for line in lines) + "</ul>"


def _write_csv(path: Path, head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(lines)
