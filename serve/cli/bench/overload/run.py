"""The run of `ragserve bench overload`: a service of its own, its documents, the closed loops, then the open ones."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from serve.cli.bench.overload.findings import Findings, OverloadPlan, OverloadRow, PeakRow, faults_of, table, write_json
from serve.cli.bench.overload.outcomes import OfferResult, summarise
from serve.cli.driver.closed_loop import Load, drive
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.corpus.serving import serving
from serve.cli.driver.open_loop import Arrivals, OpenLoad, Phase, drive_open
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.servers import HOST, Server, ragserve_up, running
from serve.cli.driver.turns import median_by
from serve.cli.driver.workload import QuestionRotation, read_questions
from serve.cli.ingest.files import ingest_documents
from serve.cli.remote import RemoteService

PATH = "/v1/query"
THREADS = 1
WARM_UP_CLIENTS = 8
READY_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Session:
    """The service under load, and its questions."""

    plan: OverloadPlan
    server: Server
    questions: QuestionRotation
    report: Callable[[str], None]

    def run_closed(self, clients: int, seconds: float) -> PeakRow:
        load = Load(HOST, self.server.port, PATH, str(self.questions.write()), clients, seconds)
        row = PeakRow(clients, drive(load))
        self.questions.num_sent += row.result.requests + row.result.errors
        self.report(f"{clients} clients: {row.result.per_s:.1f}/s, p95 {row.result.p95_s:.2f} s")
        return row

    def run_open(self, rate: float, seed: int) -> OfferResult:
        """One turn, on a service that has finished its earlier work."""
        with RemoteService(self.server.url) as remote:
            remote.wait_until_ready(READY_TIMEOUT_S)
        seconds = self.plan.warm_s + self.plan.turn_s
        phase = Phase(seconds, (Arrivals(PATH, str(self.questions.write()), rate),))
        load = OpenLoad(HOST, self.server.port, (phase,), self.plan.answer_s, seed=seed)
        result = summarise(drive_open(load), seconds, self.plan.warm_s)
        self.questions.num_sent += result.requests
        self.report(
            f"offered {rate:.1f}/s: {result.whole:.1f}/s whole, p95 {result.p95_s:.2f} s, refused {result.refused}"
        )
        return result


def measure(plan: OverloadPlan, output: Path | None, plot: Path | None) -> None:
    """Prints the tables, writes every turn as JSON, draws."""
    # As Ctrl-C: no server outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory() as folder:
        findings, turns = run(plan, Path(folder), show_progress)
    show(table(findings))
    if output is not None:
        write_json(output, findings, turns)
    if plot is not None:
        from serve.cli.bench.overload.plot import draw

        draw(findings, turns, plot)


def run(plan: OverloadPlan, folder: Path, report: Callable[[str], None]) -> tuple[Findings, list[OverloadRow]]:
    """The findings, and the rows of all turns.

    Raises InvalidRequestError without questions, ConfigError for a document that cannot be ingested, ServerStartError.
    """
    questions = QuestionRotation(_read_questions(plan), folder / "bodies.jsonl")
    with _service(plan, folder) as server:
        session = Session(plan, server, questions, report)
        session.run_closed(WARM_UP_CLIENTS, plan.warm_up_s)
        rising = [session.run_closed(clients, plan.turn_s) for clients in plan.clients]
        best = max(rising, key=lambda row: row.result.per_s)
        repeated, turns = _rounds(session, best)
    median_best = median_by([best, *repeated], lambda row: row.result.per_s)
    peaks = sorted((*(row for row in rising if row is not best), median_best), key=lambda row: row.clients)
    return Findings(tuple(peaks), tuple(_median(turns, share) for share in plan.shares)), turns


def _rounds(session: Session, best: PeakRow) -> tuple[list[PeakRow], list[OverloadRow]]:
    """In each round the best closed loop, then the shares of its throughput.

    Other work on the machine then affects all of them equally.
    """
    peaks, turns = list[PeakRow](), list[OverloadRow]()
    for seed in range(session.plan.num_turns):
        peaks.append(session.run_closed(best.clients, session.plan.turn_s))
        for share in session.plan.shares:
            peak = peaks[-1].result.per_s
            result = session.run_open(share * peak, seed)
            turns.append(OverloadRow(share, peak, result, tuple(faults_of(result))))
    return peaks, turns


def _median(turns: list[OverloadRow], share: float) -> OverloadRow:
    """The turn with the median goodput, with the faults of all turns."""
    of_share = [turn for turn in turns if turn.share == share]
    faults = dict.fromkeys(fault for turn in of_share for fault in turn.faults)
    return replace(median_by(of_share, lambda turn: turn.goodput_ratio), faults=tuple(faults))


@contextmanager
def _service(plan: OverloadPlan, folder: Path) -> Iterator[Server]:
    """The service with its documents, or on a copy of the prepared corpus."""
    launch = ragserve_up(plan.config, folder / "state")
    if plan.corpus is not None:
        with serving(PreparedCorpus.open(plan.corpus), launch, folder / "state", folder, THREADS) as server:
            yield server
        return
    with running(launch, folder, THREADS) as server:
        ingest_documents(server.url, list(plan.documents))
        yield server


def _read_questions(plan: OverloadPlan) -> list[str]:
    if plan.corpus is None:
        return read_questions(plan.questions)
    return [question.text for question in PreparedCorpus.open(plan.corpus).questions]
