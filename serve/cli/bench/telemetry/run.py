"""`ragserve bench telemetry`: one process answers the same questions with its telemetry on and off, in turns."""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import psutil

from deployments.cluster.environment import free_port
from deployments.telemetry.exporter import exporter_lock
from deployments.telemetry.exposition import FOLDER, PORT
from deployments.telemetry.otlp import TracingConfig
from serve.cli.bench.telemetry.server import CPU_SECONDS, LOG, OFF, ON
from serve.cli.driver.servers import HOST, Launch, Server, running
from serve.cli.driver.workload import read_questions

SCRAPE_S = 15.0
SAMPLE_RATE = TracingConfig().sample_rate
NO_CACHE = {"cache-control": "no-store"}  # an answer from a cache would leave out what telemetry observes
REQUEST_TIMEOUT_S = 120
HEAD = "| | on | off | cost, median of the pairs | quartiles |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class TelemetryPlan:
    """Pairs of bursts, each of `clients` questions at once; documents to ask about, and the questions."""

    documents: Sequence[Path]
    questions: Path
    clients: int
    num_pairs: int

    def as_quick(self) -> "TelemetryPlan":
        return replace(self, documents=self.documents[:1], clients=4, num_pairs=4)


@dataclass(frozen=True)
class Burst:
    """Questions that were sent at once: milliseconds of the server's CPU, and of time, for each."""

    cpu_ms: float
    elapsed_ms: float


def mean(bursts: Sequence[Burst]) -> Burst:
    return Burst(*(statistics.fmean(getattr(each, name) for each in bursts) for name in ("cpu_ms", "elapsed_ms")))


@dataclass(frozen=True)
class Pair:
    """The same questions with telemetry and without: the means of two bursts each."""

    on: Burst
    off: Burst


def run(plan: TelemetryPlan, folder: Path, report: Callable[[str], None]) -> Iterator[str]:
    """The table, then what was recorded. Raises ServerStartError, httpx.HTTPError for a question that failed."""
    questions = read_questions(plan.questions)
    with running(_receiver(), folder, threads=1) as receiver, _service(folder, receiver) as service:
        report(f"{upload(service.server, plan.documents)} documents")
        pairs = asyncio.run(_measure(service, questions, plan))
        yield from table(pairs)
        num_spans = httpx.get(receiver.url, trust_env=False).json()["spans"]
        num_lines = (folder / LOG).read_text().count("\n")
        yield f"\nRecorded: {num_spans:,} spans, {num_lines:,} lines of the log, {service.num_scrapes} scrapes."
        yield f"The process that answers the scrapes used {service.exporter_cpu_s():.1f} s of CPU."


async def _measure(service: "Service", questions: Sequence[str], plan: TelemetryPlan) -> list[Pair]:
    """Each burst is sent twice, in the order A B B A: what drifts, and what the first to ask pays for, meets both."""
    pairs = []
    async with httpx.AsyncClient(base_url=service.server.url, timeout=REQUEST_TIMEOUT_S, trust_env=False) as http:
        await service.burst(http, ON, questions[: plan.clients])  # warms up: connections, first batches
        for number in range(plan.num_pairs):
            start = number * plan.clients
            texts = [questions[place % len(questions)] for place in range(start, start + plan.clients)]
            first, second = (ON, OFF) if number % 2 else (OFF, ON)
            bursts: dict[str, list[Burst]] = {ON: [], OFF: []}
            for state in (first, second, second, first):
                bursts[state].append(await service.burst(http, state, texts))
            pairs.append(Pair(mean(bursts[ON]), mean(bursts[OFF])))
    return pairs


def table(pairs: Sequence[Pair]) -> Iterator[str]:
    """The medians, and the costs as fractions of the burst without telemetry."""
    yield HEAD
    for name, attribute in (("CPU of a question, ms", "cpu_ms"), ("time of a question, ms", "elapsed_ms")):
        on, off = ([getattr(getattr(pair, state), attribute) for pair in pairs] for state in ("on", "off"))
        low, middle, high = statistics.quantiles([each - twin for each, twin in zip(on, off, strict=True)], n=4)
        cells = [name, f"{statistics.median(on):.2f}", f"{statistics.median(off):.2f}"]
        cells += [f"{middle:.2f}, {middle / statistics.median(off):.1%}", f"{low:.2f} and {high:.2f}"]
        yield f"| {' | '.join(cells)} |"


@dataclass
class Service:
    """The server, and the port and the folder of its metrics."""

    server: Server
    metrics_port: int
    metrics: Path
    num_scrapes: int = 0
    scraped_at: float = field(default_factory=time.monotonic)

    async def burst(self, http: httpx.AsyncClient, state: str, questions: Sequence[str]) -> Burst:
        """Raises httpx.HTTPStatusError if a question was not answered."""
        await self._scrape_if_due()
        before = await self._switch(http, state)
        start = time.perf_counter()
        answers = await asyncio.gather(
            *(http.post("/v1/query", json={"query": question}, headers=NO_CACHE) for question in questions)
        )
        elapsed_s = time.perf_counter() - start
        for answer in answers:
            answer.raise_for_status()
        cpu_s = await self._switch(http, state) - before
        return Burst(1000 * cpu_s / len(questions), 1000 * elapsed_s / len(questions))

    async def _switch(self, http: httpx.AsyncClient, state: str) -> float:
        """The seconds of CPU that the server has used so far."""
        response = await http.post(state)
        return float(response.raise_for_status().headers[CPU_SECONDS])

    def exporter_cpu_s(self) -> float:
        process = psutil.Process(int(exporter_lock(self.metrics, self.metrics_port).read_text()))
        return sum(process.cpu_times()[:2])

    async def _scrape_if_due(self) -> None:
        """As a Prometheus does, between the bursts: another process answers it."""
        if time.monotonic() - self.scraped_at >= SCRAPE_S:
            async with httpx.AsyncClient(trust_env=False, timeout=REQUEST_TIMEOUT_S) as http:
                (await http.get(f"http://{HOST}:{self.metrics_port}/metrics")).raise_for_status()
            self.num_scrapes, self.scraped_at = self.num_scrapes + 1, time.monotonic()


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
