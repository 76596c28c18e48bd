"""Reads the metrics again and again, and draws the table."""

import time
from collections.abc import Sequence
from contextlib import suppress

import httpx
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from serve.cli.options import table_console
from serve.cli.remote import RemoteError, RemoteService
from serve.cli.service_address import base_url, checked_address
from serve.cli.top.samples import Interval, Reading
from serve.cli.top.stages import StageRow, bottleneck, seconds_text, stage_rows, summary
from serve.cli.trust import trust

WIDTH = 130
NARROW_WIDTH = 110  # of a terminal; below it, the table has NARROW_COLUMNS alone
TIMEOUT_S = 10.0
COLUMNS = (
    "replicas",
    "ongoing",
    "calls/s",
    "batch",
    "queue p95",
    "work p95",
    "busy",
    "p50",
    "p95",
    "p99",
    "dropped",
    "degraded",
    "of a question",
)
NARROW_COLUMNS = ("replicas", "calls/s", "queue p95", "work p95", "busy", "p95", "degraded", "of a question")


class Watch:
    """A running service, and the pages of its nodes' metrics."""

    def __init__(self, url: str, pages: Sequence[str], every_s: float) -> None:
        """No page means that of the service itself. Raises ConfigError for what is no address."""
        self._url, self._every_s = base_url(url), every_s
        self._pages = [checked_address(page, "--metrics") for page in pages] or [f"{self._url}/metrics"]

    def run(self, once: bool) -> None:
        """Draw until interrupted, or once. Raises RemoteError if the service cannot be read."""
        console = table_console(WIDTH)
        columns = COLUMNS if console.width >= NARROW_WIDTH else NARROW_COLUMNS
        before = self._read()
        if once:
            time.sleep(self._every_s)
            console.print(self._view(Interval(before, self._read()), columns))
            return
        with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                time.sleep(self._every_s)
                after = self._read()
                live.update(self._view(Interval(before, after), columns), refresh=True)
                before = after

    def _read(self) -> Reading:
        try:
            return Reading.of([_page(url) for url in self._pages])
        except httpx.HTTPError as error:
            raise RemoteError(f"the metrics cannot be read: {error}") from None
        except ValueError:
            pages = ", ".join(self._pages)
            raise RemoteError(f"{pages}: no metrics in Prometheus' format; is that another program?") from None

    def _view(self, interval: Interval, columns: Sequence[str]) -> Group:
        rows = stage_rows(interval)
        return Group(
            Text(f"{self._url}  {summary(interval)}"),
            *self._state(),
            table(rows, columns),
            Text(bottleneck(interval, rows), style="bold"),
        )

    def _state(self) -> list[Text]:
        """What is missing, an operator's problems, and a roll-out under way."""
        try:
            with RemoteService(self._url, TIMEOUT_S) as service:
                readiness = service.readiness()
        except RemoteError as error:
            return [Text(str(error), style="red")]
        lines = [Text(f"missing: {reason}", style="red") for reason in readiness.get("missing", ())]
        lines += [Text(problem, style="yellow") for problem in readiness.get("problems", ())]
        return lines + [Text(f"rolling out {name}: {why}") for name, why in readiness.get("rollout", {}).items()]


def _page(url: str) -> str:
    """The text of a page of metrics. Raises httpx.HTTPError, ConfigError."""
    return httpx.get(url, timeout=TIMEOUT_S, trust_env=False, verify=trust(url)).raise_for_status().text


def table(rows: list[StageRow], columns: Sequence[str] = COLUMNS) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    drawn.add_column("stage", no_wrap=True)
    for column in columns:
        drawn.add_column(column, justify="right", min_width=max(len(word) for word in column.split()))
    for row in rows:
        cells = dict(zip(COLUMNS, _cells(row), strict=True))
        drawn.add_row(row.stage, *(cells[column] for column in columns))
    return drawn


def _cells(row: StageRow) -> list[str]:
    times = [_time(seconds) for seconds in (row.queue_s, row.compute_s, row.p50_s, row.p95_s, row.p99_s)]
    batch = "-" if row.batch_size is None else f"{row.batch_size:.1f}"
    counts = [str(row.replicas), str(row.ongoing), f"{row.calls_per_s:.1f}", batch]
    shares = [f"{100 * row.degraded:.0f} %", f"{100 * row.share:.0f} %"]
    return [*counts, *times[:2], f"{100 * min(1.0, row.busy):.0f} %", *times[2:], str(row.dropped), *shares]


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else seconds_text(seconds)
