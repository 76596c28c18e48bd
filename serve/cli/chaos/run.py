"""Inject one fault after another into a local service under load, and measure each."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import openai

from models.errors import ConfigError
from serve.cli.chaos.faults import Fault
from serve.cli.chaos.outcomes import Outcome, Row, row_of
from serve.cli.chaos.uploads import Uploads, lost_files, upload_documents, wait_until_ingested

NUM_ASKERS = 2
STEADY_S = 8.0  # so long every answer must be whole before a fault counts as over
POLL_S = 0.2
INGEST_LIMIT_S = 300.0
UPLOAD_PAUSE_S = 0.5
ROOT = Path(__file__).parents[3]


class Load:
    """Processes that ask questions, and what became of each."""

    def __init__(self, url: str, store: str) -> None:
        self._url, self._store = url, store
        self._outcomes: list[Outcome] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        askers = [self._start(seed) for seed in range(1, NUM_ASKERS + 1)]
        try:
            yield
        finally:
            for asker in askers:
                asker.kill()
                asker.wait()

    def since(self, began_at: float) -> list[Outcome]:
        return [outcome for outcome in self._outcomes if outcome.ended_at >= began_at]

    def _start(self, seed: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "serve.cli.chaos.asker", self._url, self._store, str(seed)]
        asker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(asker,), daemon=True).start()
        return asker

    def _read(self, asker: "subprocess.Popen[str]") -> None:
        assert asker.stdout is not None
        for line in asker.stdout:
            self._outcomes.append(Outcome.of_line(line))


def measure(load: Load, fault: Fault, limit_s: float) -> Row:
    """Inject the fault once the service is whole, and wait until it is whole again."""
    _wait_until_whole(load, time.monotonic(), limit_s)
    began_at = time.monotonic()
    with fault.inject():
        is_over = _wait_until_whole(load, began_at, limit_s)
    return row_of(fault.name, began_at, load.since(began_at), is_over)


def run(url: str, faults: Sequence[Fault], limit_s: float) -> Iterator[Row | str]:
    """A row a fault, then a line that says whether an acknowledged file was lost. Raises ConfigError."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0, timeout=30) as client:
        store = client.vector_stores.create(name="chaos").id
        upload_documents(client, store)
        wait_until_ingested(client, store, INGEST_LIMIT_S)
        load = Load(url, store)
        with load.running(), Uploads(client, store, UPLOAD_PAUSE_S) as uploads:
            if not _wait_until_whole(load, time.monotonic(), limit_s):
                raise ConfigError(url, "the service does not give whole answers, so no fault can be measured")
            for fault in faults:
                yield measure(load, fault, limit_s)
        wait_until_ingested(client, store, INGEST_LIMIT_S)
        lost = lost_files(client, store, uploads.acknowledged)
        yield f"{len(uploads.acknowledged)} files were acknowledged meanwhile, and {len(lost)} of them are lost."
        client.vector_stores.delete(store)


def _wait_until_whole(load: Load, since: float, limit_s: float) -> bool:
    """Whether every answer of the last STEADY_S was whole, before the limit."""
    end = since + limit_s
    while time.monotonic() < end:
        start = max(since, time.monotonic() - STEADY_S)
        recent = load.since(start)
        if recent and time.monotonic() - since >= STEADY_S and all(outcome.is_whole for outcome in recent):
            return True
        time.sleep(POLL_S)
    return False
