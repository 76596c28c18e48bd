"""The run of `ragserve bench overload`: a service of its own, its documents, the closed loops, then the open ones."""

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from rich.console import Console

from models.errors import ConfigError
from serve.cli.bench.overload.findings import Findings, OverloadPlan, OverloadRow, PeakRow, faults_of, table, write_json
from serve.cli.driver.closed_loop import Load, drive
from serve.cli.driver.open_loop import Offer, OfferResult, offer
from serve.cli.driver.servers import HOST, RAGSERVE, Launch, Server, running
from serve.cli.ingest.files import ingest_files
from serve.cli.remote import RemoteService

T = TypeVar("T")

PATH = "/v1/query"
THREADS = 1
WARM_UP_CLIENTS, WARM_UP_S = 8, 5.0  # the models' first passes
WARM_S = 4.0  # of each open loop: until as many are under way as ever will be
READY_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Run:
    """The service that is asked, and with what."""

    plan: OverloadPlan
    server: Server
    bodies: Path
    say: Callable[[str], None]

    def close(self, clients: int, seconds: float) -> PeakRow:
        load = Load(HOST, self.server.port, PATH, str(self.bodies), clients, seconds)
        row = PeakRow(clients, drive(load))
        self.say(f"{clients} clients: {row.result.per_s:.1f}/s, p95 {row.result.p95_s:.2f} s")
        return row

    def open(self, rate: float, seed: int) -> OfferResult:
        """One turn, on a service that has ended what it had to do before."""
        with RemoteService(self.server.url) as remote:
            remote.wait_until_ready(READY_TIMEOUT_S)
        plan = self.plan
        wanted = Offer(
            host=HOST,
            port=self.server.port,
            path=PATH,
            bodies=str(self.bodies),
            rate=rate,
            seconds=WARM_S + plan.turn_s,
            warm_s=WARM_S,
            answer_s=plan.answer_s,
            seed=seed,
        )
        result = offer(wanted)
        self.say(
            f"offered {rate:.1f}/s: {result.whole:.1f}/s whole, p95 {result.p95_s:.2f} s, refused {result.refused}"
        )
        return result


def measure(plan: OverloadPlan, output: Path | None, plot: Path | None, console: Console) -> None:
    """Prints the tables, keeps every turn as JSON, draws."""
    # Ends as Ctrl-C does, so that no server stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory() as folder:
        findings, turns = run(plan, Path(folder), lambda line: console.print(line, style="dim", markup=False))
    console.print(table(findings), markup=False)
    if output is not None:
        write_json(output, findings, turns)
    if plot is not None:
        from serve.cli.bench.overload.plot import draw

        draw(findings, turns, plot)


def run(plan: OverloadPlan, folder: Path, say: Callable[[str], None]) -> tuple[Findings, list[OverloadRow]]:
    """What was found, and every turn of it."""
    bodies = _bodies(plan, folder)
    with running(_launch(plan, folder), folder, THREADS) as server:
        _ingest(plan, server)
        session = Run(plan, server, bodies, say)
        session.close(WARM_UP_CLIENTS, WARM_UP_S)
        rising = [session.close(clients, plan.turn_s) for clients in plan.clients]
        best = max(rising, key=lambda row: row.result.per_s)
        again, turns = _rounds(session, best)
    closed = (*(row for row in rising if row is not best), _middle([best, *again], _per_s))
    peaks = sorted(closed, key=lambda row: row.clients)
    return Findings(tuple(peaks), tuple(_median(turns, share) for share in plan.shares)), turns


def _rounds(session: Run, best: PeakRow) -> tuple[list[PeakRow], list[OverloadRow]]:
    """The best closed loop and the shares of what it just reached take turns: what else the machine does then meets
    all of them alike.
    """
    peaks, turns = list[PeakRow](), list[OverloadRow]()
    for seed in range(session.plan.num_turns):
        peaks.append(session.close(best.clients, session.plan.turn_s))
        for share in session.plan.shares:
            peak = peaks[-1].result.per_s
            result = session.open(share * peak, seed)
            turns.append(OverloadRow(share, peak, result, tuple(faults_of(result))))
    return peaks, turns


def _median(turns: list[OverloadRow], share: float) -> OverloadRow:
    """The turn that kept the median, with the faults of all."""
    of_share = [turn for turn in turns if turn.share == share]
    faults = dict.fromkeys(fault for turn in of_share for fault in turn.faults)
    return replace(_middle(of_share, _kept), faults=tuple(faults))


def _middle(rows: Sequence[T], key: Callable[[T], float]) -> T:
    """The row of the median; the lower one of two."""
    return sorted(rows, key=key)[(len(rows) - 1) // 2]


def _per_s(row: PeakRow) -> float:
    return row.result.per_s


def _kept(row: OverloadRow) -> float:
    return row.kept


def _launch(plan: OverloadPlan, folder: Path) -> Launch:
    options = ["--config", str(plan.config), "--data", str(folder / "state"), "--port", "{port}"]
    return Launch("ragserve", [*RAGSERVE, "up", *options], "/readyz", {})


def _ingest(plan: OverloadPlan, server: Server) -> None:
    with RemoteService(server.url) as remote:
        failed = ingest_files(remote, list(plan.documents), "default", Console(quiet=True))
    if failed:
        raise ConfigError("--documents", f"{failed[0].filename} was not ingested: {failed[0].error}")


def _bodies(plan: OverloadPlan, folder: Path) -> Path:
    """A request a line."""
    lines = (line.strip() for line in plan.questions.read_text().splitlines())
    questions = [line for line in lines if line and not line.startswith("#")]
    if not questions:
        raise ConfigError("--questions", f"{plan.questions} holds no question")
    path = folder / "bodies.jsonl"
    path.write_text("\n".join(json.dumps({"query": question}) for question in questions))
    return path
