"""The report of a run: tables and plots of the endpoints and the stages, as a page and as CSV files."""

import base64
import csv
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from loadtests.plots import draw_endpoints, draw_stages
from loadtests.recorder import Recorder
from loadtests.tables import HEAD, Row, Verdict, aligned, rows, stages_and_first_texts

DPI = 110
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


def write_report(recorder: Recorder, verdict: Verdict, folder: Path, title: str) -> Path:
    """Write report.html, endpoints.csv, stages.csv, setup.csv and samples.csv; return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    endpoints, stages, setup = _tables(recorder, verdict)
    for name, lines in (("endpoints", endpoints), ("stages", stages), ("setup", setup)):
        _write_csv(folder / f"{name}.csv", HEAD, lines)
    _write_csv(folder / "samples.csv", ("kind", "name", "at_s", "seconds", "failed", "degraded"), _samples(recorder))
    sections = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Load test: {html.escape(title)}</title>",
        f"<style>{CSS}</style><h1>Load test</h1><p>{html.escape(title)}; {recorder.duration_s:.1f} s.</p>",
        _list(verdict.sentences(), "bad" if verdict.problems else "ok"),
        f"<h2>Endpoints</h2>{_table(endpoints)}{_degraded(recorder)}",
        _image(draw_endpoints(recorder), "Endpoints over time"),
        f"<h2>Stages of a query, timed by the service</h2>{_table(stages)}",
        _image(draw_stages(recorder), "Stages over time"),
        f"<h2>Set-up of the users and single calls of an ingestion, in no figure above</h2>{_table(setup)}",
    ]
    path = folder / "report.html"
    path.write_text("\n".join(sections))
    return path


def summary(recorder: Recorder, verdict: Verdict) -> str:
    """The tables of endpoints and stages, for a terminal, and what the run says of its budgets."""
    endpoints, stages, _ = _tables(recorder, verdict)
    return "\n".join([aligned([HEAD, *endpoints, *stages]), *verdict.sentences()])


def _tables(recorder: Recorder, verdict: Verdict) -> tuple[list[Row], list[Row], list[Row]]:
    """Endpoints; stages and first texts; set-up."""
    duration_s = recorder.duration_s
    return (
        rows(recorder.requests, duration_s, verdict.absent.endpoints),
        rows(stages_and_first_texts(recorder), duration_s, verdict.absent.stages),
        rows(recorder.setup, duration_s),
    )


def _degraded(recorder: Recorder) -> str:
    counts = recorder.degraded_stages()
    if not counts:
        return ""
    return (
        "<p>Answers made without a stage: " + ", ".join(f"{stage} {count}" for stage, count in counts.items()) + ".</p>"
    )


def _samples(recorder: Recorder) -> Iterable[tuple[str, ...]]:
    tables = {
        "request": recorder.requests,
        "first_text": recorder.first_texts,
        "stage": recorder.stages,
        "setup": recorder.setup,
    }
    for kind, table in tables.items():
        for name, samples in table.items():
            for sample in samples:
                yield (
                    kind,
                    name,
                    f"{sample.at_s:.3f}",
                    f"{sample.seconds:.6f}",
                    str(int(sample.failed)),
                    " ".join(sample.degraded),
                )


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
