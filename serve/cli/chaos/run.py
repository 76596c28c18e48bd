"""Inject one fault after another into a local service under load, and measure each."""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import openai

from models.errors.configuration import ConfigError
from serve.cli.chaos.fault import Fault
from serve.cli.chaos.outcomes import Outcome, Row, row_of, slow_after_s
from serve.cli.chaos.uploads import Uploads, lost_files, upload_documents, wait_until_ingested

NUM_ASKERS = 2
STEADY_S = 8.0  # so long every answer must be whole and in time before a fault counts as over
POLL_S = 0.2
INGEST_LIMIT_S = 300.0
UPLOAD_PAUSE_S = 0.5
ROOT = Path(__file__).parents[3]


class Load:
    """Processes that ask questions, and what became of each."""

    def __init__(self, url: str, store: str) -> None:
        self._url, self._store = url, store
        self._outcomes: list[Outcome] = []
        self._answered_until = dict.fromkeys(range(1, NUM_ASKERS + 1), -math.inf)  # by asker

    @property
    def answered_until(self) -> float:
        """Every question that an asker began before has its outcome: one that hangs holds this back."""
        return min(self._answered_until.values())

    @contextmanager
    def running(self) -> Iterator[None]:
        askers = [self._start(seed) for seed in self._answered_until]
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
        assert asker.stdout is not None
        threading.Thread(target=self.read, args=(seed, asker.stdout), daemon=True).start()
        return asker

    def read(self, seed: int, lines: Iterable[str]) -> None:
        """Note what the asker `seed` prints."""
        for line in lines:
            outcome = Outcome.of_line(line)
            self._outcomes.append(outcome)
            self._answered_until[seed] = outcome.ended_at


def measure(load: Load, fault: Fault, slow_s: float, limit_s: float) -> Row:
    """Inject the fault once the service is full, and wait until it is full again."""
    wait_until_full(load, time.monotonic(), slow_s, limit_s)
    began_at = time.monotonic()
    with fault.inject():
        is_over = wait_until_full(load, began_at, slow_s, limit_s)
    return row_of(fault.name, began_at, load.since(began_at), slow_s, is_over)


def run(url: str, faults: Sequence[Fault], limit_s: float) -> Iterator[Row | str]:
    """A row a fault, then lines about the questions between them and the acknowledged files. Raises ConfigError."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0, timeout=30) as client:
        store = client.vector_stores.create(name="chaos").id
        upload_documents(client, store)
        wait_until_ingested(client, store, INGEST_LIMIT_S)
        load = Load(url, store)
        with load.running(), Uploads(client, store, UPLOAD_PAUSE_S) as uploads:
            if not wait_until_full(load, time.monotonic(), math.inf, limit_s):
                raise ConfigError(url, "the service does not give whole answers, so no fault can be measured")
            rows, slow_s = [], slow_after_s(load.since(-math.inf))
            for fault in faults:
                rows.append(measure(load, fault, slow_s, limit_s))
                yield rows[-1]
        wait_until_ingested(client, store, INGEST_LIMIT_S)
        lost = lost_files(client, store, uploads.acknowledged)
        yield between(load.since(-math.inf), rows)
        yield f"{len(uploads.acknowledged)} files were acknowledged meanwhile, and {len(lost)} of them are lost."
        client.vector_stores.delete(store)


def wait_until_full(load: Load, since: float, slow_s: float, limit_s: float) -> bool:
    """Whether STEADY_S passed with whole answers, none slow, before the limit. A question under way is waited for."""
    end = since + limit_s
    while time.monotonic() < end:
        until = load.answered_until
        recent = load.since(max(since, until - STEADY_S))
        if until - since >= STEADY_S and all(each.is_full(slow_s) for each in recent):
            return True
        time.sleep(POLL_S)
    return False


def between(outcomes: Sequence[Outcome], rows: Sequence[Row]) -> str:
    """What became of the questions that no row has."""
    num_questions = len(outcomes) - sum(row.num_questions for row in rows)
    num_failed = sum(bool(each.code) for each in outcomes) - sum(sum(row.failed.values()) for row in rows)
    return f"{num_questions} questions were asked before and between the faults, and {num_failed} of them failed."
