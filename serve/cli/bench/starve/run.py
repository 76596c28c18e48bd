"""The run of `ragserve bench starve`: a service of its own, its documents, then the three phases."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from models.errors.configuration import ConfigError
from serve.cli.bench.starve.burning import burning, num_cores
from serve.cli.bench.starve.findings import (
    AFTERWARDS,
    BUSY,
    FREE,
    Findings,
    PhaseRow,
    StarvePlan,
    recovery_s,
    summarise,
    table,
    write_json,
)
from serve.cli.driver.open_loop import Arrivals, OpenLoad, Phase, Record, drive_open
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.process_cpu import replicas
from serve.cli.driver.servers import HOST, Server, ragserve_up, running
from serve.cli.driver.workload import read_questions, write_bodies
from serve.cli.ingest.files import ingest_documents

PATH = "/v1/query"
THREADS = 1
NUM_BODIES = 1000  # no question repeats: a cached answer would need no machine


@dataclass(frozen=True)
class Session:
    """The service, its questions, and a folder for files of them."""

    plan: StarvePlan
    server: Server
    questions: list[str]
    folder: Path
    report: Callable[[str], None]

    def offer(self, phase: str, seconds: float, seed: int) -> tuple[PhaseRow, list[Record]]:
        """Returns when every question of the phase has ended."""
        offered = Phase(seconds, (Arrivals(PATH, str(self._bodies(phase)), self.plan.per_s),))
        timeout_s = self.plan.budget_s + self.plan.grace_s
        records = list(drive_open(OpenLoad(HOST, self.server.port, (offered,), timeout_s, seed=seed)).records)
        row = summarise(phase, records, self.plan.budget_s)
        self.report(f"{phase}: {row.whole} whole, {row.degraded} degraded, {row.failed} failed, p95 {row.p95_s:.2f} s")
        return row, records

    def _bodies(self, phase: str) -> Path:
        """Questions that no other phase asks."""
        questions = self.questions
        bodies: list[dict[str, object]] = [
            {"query": f"{questions[number % len(questions)]} ({phase} {number})"} for number in range(NUM_BODIES)
        ]
        return write_bodies(self.folder / f"{phase}.jsonl", bodies)


def measure(plan: StarvePlan, output: Path | None) -> None:
    """Prints the table, and writes it as JSON. Raises ConfigError if a question or a replica was lost."""
    # As Ctrl-C: no server outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory() as folder:
        findings = run(plan, Path(folder), show_progress)
    show(*table(findings))
    if output is not None:
        write_json(output, findings)
    if findings.faults:
        raise ConfigError("bench starve", "; ".join(findings.faults))


def run(plan: StarvePlan, folder: Path, report: Callable[[str], None]) -> Findings:
    """The phases, one after the other. Raises ConfigError for a document that cannot be ingested, ServerStartError."""
    questions = read_questions(plan.questions)
    with running(ragserve_up(plan.config, folder / "state"), folder, THREADS) as server:
        ingest_documents(server.url, list(plan.documents))
        session = Session(plan, server, questions, folder, report)
        session.offer("warm-up", plan.warm_up_s, seed=0)
        before = replicas(server.pid)
        free, _ = session.offer(FREE, plan.phase_s, seed=1)
        max_s = plan.phase_s + 2 * (plan.budget_s + plan.grace_s)
        with burning(plan.burners_per_core * num_cores(), max_s):
            busy, _ = session.offer(BUSY, plan.phase_s, seed=2)
        afterwards, records = session.offer(AFTERWARDS, plan.phase_s, seed=3)
        now = replicas(server.pid)
    restarted = tuple(name for pid, name in before.items() if pid not in now)
    return Findings((free, busy, afterwards), restarted, recovery_s(free, records))
