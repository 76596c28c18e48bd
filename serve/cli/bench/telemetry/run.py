"""`ragserve bench telemetry`: the same process answers the same questions with its telemetry on and off, in turns."""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil

from deployments.cluster.environment import free_port
from deployments.telemetry.exporter import exporter_lock
from deployments.telemetry.exposition import FOLDER, PORT
from serve.cli.bench.telemetry.server import LOG, OFF, ON
from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.servers import HOST, Launch, Server, running
from serve.cli.driver.workload import QuestionRotation, read_questions

SCRAPE_S = 5.0
SAMPLE_RATE = 0.1
HEAD = (
    "| turn | on, questions/s | off, questions/s | cost | on, CPU ms | off, CPU ms | cost in CPU |\n"
    "|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class TelemetryPlan:
    """Pairs of turns, each of `turn_s` seconds; documents to ask about, questions, clients."""

    documents: Sequence[Path]
    questions: Path
    clients: int
    turn_s: float
    num_pairs: int

    def as_quick(self) -> "TelemetryPlan":
        return replace(self, documents=self.documents[:1], clients=4, turn_s=1.0, num_pairs=2)


@dataclass(frozen=True)
class Turn:
    """Questions a second, and milliseconds of the server's CPU a question."""

    per_s: float
    cpu_ms: float


@dataclass(frozen=True)
class Pair:
    """A turn with telemetry, and one without."""

    on: Turn
    off: Turn

    @property
    def cost(self) -> float:
        """Fraction of the throughput that telemetry takes."""
        return 1 - self.on.per_s / self.off.per_s

    @property
    def cpu_cost(self) -> float:
        """Fraction that it adds to the CPU time of a question."""
        return self.on.cpu_ms / self.off.cpu_ms - 1

    def line(self, name: str) -> str:
        cells = [name, f"{self.on.per_s:.1f}", f"{self.off.per_s:.1f}", f"{self.cost:.1%}"]
        cells += [f"{self.on.cpu_ms:.2f}", f"{self.off.cpu_ms:.2f}", f"{self.cpu_cost:.1%}"]
        return f"| {' | '.join(cells)} |"


def run(plan: TelemetryPlan, folder: Path, report: Callable[[str], None]) -> Iterator[str]:
    """A row a pair, then the medians and what was recorded. Raises ServerStartError, RuntimeError for a failed turn."""
    questions = QuestionRotation(read_questions(plan.questions), folder / "bodies.jsonl")
    with running(_receiver(), folder, threads=1) as receiver, _service(folder, receiver) as service:
        report(f"{upload(service.server, plan.documents)} documents")
        service.turn(ON, plan, questions)  # warms up: connections, first batches
        yield HEAD
        pairs = []
        for number in range(1, plan.num_pairs + 1):
            order = (ON, OFF) if number % 2 else (OFF, ON)  # whatever drifts meets both alike
            turns = {state: service.turn(state, plan, questions) for state in order}
            pairs.append(Pair(turns[ON], turns[OFF]))
            yield pairs[-1].line(str(number))
        yield from summary(pairs)
        num_spans = httpx.get(receiver.url, trust_env=False).json()["spans"]
        num_lines = (folder / LOG).read_text().count("\n")
        yield f"\nRecorded: {num_spans:,} spans, {num_lines:,} lines of the log, {service.num_scrapes} scrapes."


def summary(pairs: Sequence[Pair]) -> Iterator[str]:
    """The median of each column, and the spread of the costs over the pairs."""
    turns = [[getattr(pair, state) for pair in pairs] for state in ("on", "off")]
    medians = [Turn(_median(turn.per_s for turn in each), _median(turn.cpu_ms for turn in each)) for each in turns]
    yield Pair(*medians).line("median")
    for name, costs in (("throughput", [pair.cost for pair in pairs]), ("CPU", [pair.cpu_cost for pair in pairs])):
        low, _, high = statistics.quantiles(costs, n=4)
        spread = f"quartiles {low:.1%} and {high:.1%}, extremes {min(costs):.1%} and {max(costs):.1%}"
        yield f"\nCost in {name}, by pair: median {statistics.median(costs):.1%}, {spread}."


def _median(values: Iterator[float]) -> float:
    return statistics.median(list(values))


@dataclass
class Service:
    """The server, and the port and the folder of its metrics."""

    server: Server
    metrics_port: int
    metrics: Path
    num_scrapes: int = 0

    def turn(self, state: str, plan: TelemetryPlan, questions: QuestionRotation) -> Turn:
        """Raises RuntimeError if a question was not answered."""
        httpx.post(f"{self.server.url}{state}", trust_env=False).raise_for_status()
        load = Load(HOST, self.server.port, "/v1/query", str(questions.write()), plan.clients, plan.turn_s)
        before = self._cpu_s()
        with self._scraped(state == ON):
            result = drive(load)
        cpu_s = self._cpu_s() - before
        questions.num_sent += result.requests
        _check(result)
        return Turn(result.per_s, 1000 * cpu_s / result.requests)

    def _cpu_s(self) -> float:
        """CPU seconds of the server, and of the exporter of its metrics, which starts soon after it."""
        pids = [self.server.pid]
        with suppress(FileNotFoundError, ValueError):
            pids.append(int(exporter_lock(self.metrics, self.metrics_port).read_text()))
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)

    @contextmanager
    def _scraped(self, is_on: bool) -> Iterator[None]:
        """A Prometheus beside the load."""
        is_over = threading.Event()

        def scrape() -> None:
            while not is_over.wait(SCRAPE_S):
                httpx.get(f"http://{HOST}:{self.metrics_port}/metrics", trust_env=False).raise_for_status()
                self.num_scrapes += 1

        thread = threading.Thread(target=scrape)
        if is_on:
            thread.start()
        try:
            yield
        finally:
            is_over.set()
            if is_on:
                thread.join()


def _check(result: LoadResult) -> None:
    if result.errors or not result.requests:
        raise RuntimeError(f"{result.errors} of {result.errors + result.requests} questions failed: {result.messages}")


@contextmanager
def _service(folder: Path, receiver: Server) -> Iterator[Service]:
    metrics_port = free_port()
    command = [sys.executable, "-m", "serve.cli.bench.telemetry.server", str(folder), "{port}"]
    command += [f"{receiver.url}/v1/traces", str(SAMPLE_RATE)]
    metrics = folder / "metrics"
    environment = {FOLDER: str(metrics), PORT: str(metrics_port)}
    with running(Launch("ragserve", command, "/healthz", environment), folder, threads=1) as server:
        yield Service(server, metrics_port, metrics)


def _receiver() -> Launch:
    return Launch("receiver", [sys.executable, "-m", "serve.cli.bench.telemetry.receiver", "{port}"], "/")


def upload(server: Server, documents: Sequence[Path]) -> int:
    """Upload the files, and wait until they are searchable. Returns their number."""
    paths = [file for path in documents for file in ([path] if path.is_file() else sorted(path.glob("*.md")))]
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
        for path in paths:
            form = {"file": (path.name, path.read_bytes())}
            file = http.post("/v1/files", files=form, data={"purpose": "assistants"}).raise_for_status().json()
            http.post("/v1/vector_stores/default/files", json={"file_id": file["id"]}).raise_for_status()
        while (counts := http.get("/v1/vector_stores/default").json()["file_counts"])["in_progress"]:
            time.sleep(0.5)
    if counts["failed"]:
        raise RuntimeError(f"{counts['failed']} documents were not ingested")
    return len(paths)
