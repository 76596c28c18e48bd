"""A bulk run, composed: sources, service, feed, display and summary."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Thread
from typing import TextIO

from rich.console import Console

from models.catalog import Catalog
from models.errors.configuration import ConfigError
from serve.cli.ingest.bulk.batches import Batches
from serve.cli.ingest.bulk.feed import BulkFeed
from serve.cli.ingest.bulk.options import BulkLimits, RowOptions
from serve.cli.ingest.bulk.service import PatientService
from serve.cli.ingest.bulk.sources import Root, Sources, open_roots
from serve.cli.ingest.bulk.state import Failures, Speed, Tally
from serve.cli.ingest.bulk.uploaded import UploadedFiles
from serve.cli.ingest.bulk.view import duration, view_on

MAX_SHOWN_WARNINGS = 20
MAX_SHOWN_OMISSIONS = 8  # names
NO_DOCUMENTS = "no documents: the folders are empty, or no file there has an extension that a parser reads"


class BulkRun:
    """One run of `ragserve ingest --bulk`: from URLs to searchable documents and a summary."""

    def __init__(self, url: str, store: str, rows: RowOptions, limits: BulkLimits, console: Console) -> None:
        self._url, self._store, self._limits, self._console = url, store, limits, console
        self._sources = Sources(rows, Catalog.open().text_extensions())

    def ingest(self, urls: Sequence[str], failures_file: Path | None = None) -> Tally:
        """Ingest every document behind the paths and URLs, and print a summary.

        `failures_file` gets every failure as a JSON line. Raises ConfigError if it or a URL cannot be opened,
        RemoteError if the store is missing or the service stays away.
        """
        start_s = time.monotonic()
        roots = open_roots(urls)
        with (
            PatientService(self._url, self._limits.patience_s) as service,
            UploadedFiles() as uploaded,
            _opened(failures_file) as file,
        ):
            service.vector_store(self._store)  # a missing store raises before the first upload
            uploaded.load(service, self._store)
            batches = Batches(service, self._store, Tally(), Failures(file=file))
            try:
                self._feed(service, uploaded, batches, roots, start_s)
            finally:
                summarize(batches, self._store, time.monotonic() - start_s, self._console)
        if not batches.tally.done:
            self._console.print(NO_DOCUMENTS)
        return batches.tally

    def _feed(
        self, service: PatientService, uploaded: UploadedFiles, batches: Batches, roots: Sequence[Root], start_s: float
    ) -> None:
        total, speed = _Total(self._sources, roots), Speed()
        with view_on(self._console) as view:

            def show(now_s: float) -> None:
                speed.add(now_s, batches.tally)
                view.show(now_s - start_s, batches.tally, total.number, speed.pace(total.number))

            BulkFeed(service, uploaded, batches, self._limits, show).run(self._sources.documents(roots))
            show(time.monotonic())


class _Total:
    """Counts the documents beside the run. `number` is None until it is known, and stays None if it cannot be."""

    def __init__(self, sources: Sources, roots: Sequence[Root]) -> None:
        self.number: int | None = None
        self._sources, self._roots = sources, roots
        Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        try:
            self.number = self._sources.count(self._roots)
        except Exception:  # noqa: BLE001, the run itself reports what cannot be read
            self.number = None


def summarize(batches: Batches, store: str, seconds: float, console: Console) -> None:
    """Print warnings, what was left out, the failed documents with their reasons, and the sums."""
    tally, failures = batches.tally, batches.failures
    for name, warning in batches.warnings.listed[:MAX_SHOWN_WARNINGS]:
        console.print(f"{name}: {warning}", markup=False, style="yellow")
    if (more := batches.warnings.total - MAX_SHOWN_WARNINGS) > 0:
        console.print(f"… and {more:,} more warnings", style="yellow")
    if batches.omissions:
        console.print(f"left out on purpose: {_counts(batches.omissions)}", markup=False)
    for name, reason in failures.listed:
        console.print(f"{name}: failed: {reason}", markup=False, style="red")
    if (more := failures.total - len(failures.listed)) > 0:
        console.print(f"… and {more:,} more failed; --failures FILE writes them all", style="red")
    num_searchable, num_documents = tally.searchable + tally.unchanged, tally.done
    rate = tally.searchable / seconds if seconds > 0 else 0.0
    console.print(
        f"{num_searchable:,} of {num_documents:,} files are searchable in {store}: {tally.searchable:,} ingested, "
        f"{tally.unchanged:,} unchanged, {tally.failed:,} failed; {tally.chunks:,} chunks in {duration(seconds)}, "
        f"{rate:.1f} files/s, {tally.chunks / max(seconds, 1e-9):.1f} chunks/s",
        markup=False,
    )


def _counts(omissions: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in omissions.most_common(MAX_SHOWN_OMISSIONS))


def _opened(path: Path | None) -> AbstractContextManager[TextIO | None]:
    try:
        return nullcontext() if path is None else path.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError("--failures", f"cannot be written: {error}") from None
