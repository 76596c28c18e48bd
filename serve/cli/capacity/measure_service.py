"""Measure the CPU time of a query in each process of the running service, one question at a time."""

import copy
import re
import time
from collections import Counter
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
import yaml
from rich.console import Console

from models.types.scope import DEFAULT_VECTOR_STORE
from serve.cli.capacity.profile import DEPLOYMENTS, STAGES, StageName
from serve.cli.capacity.texts import Texts
from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.servers import HOST, Server, ragserve_up, running
from serve.cli.driver.workload import write_bodies
from serve.cli.ingest.files import ingest_files
from serve.cli.remote import RemoteService
from serve.config_file import read

PATH = "/v1/query"
NUM_FILES, PASSAGES_PER_FILE = 10, 20
NUM_CHUNKS = NUM_FILES * PASSAGES_PER_FILE
NUM_QUESTIONS = 512
WARM_CLIENTS = 8
MAX_IDLE_S = 5.0  # observed without load, and as long a pause before that
TIMEOUT_S = 60.0
REPLICA = re.compile(r"ray::ServeReplica:[^:]*:(\w+)")
NO_STAGE = "no stage"  # Ray itself, its proxies, HAProxy


@dataclass(frozen=True)
class LoadedService:
    """A running service with documents and questions. `earlier_pids`: processes that ran before it."""

    server: Server
    bodies: Path
    questions: tuple[str, ...]
    earlier_pids: Set[int]

    def drive(self, clients: int, seconds: float) -> LoadResult:
        """Send questions in a closed loop, from a separate process."""
        return drive(Load(HOST, self.server.port, PATH, str(self.bodies), clients, seconds))

    def cpu_seconds(self) -> Counter[str]:
        """CPU seconds that its processes have used so far, by stage."""
        used: Counter[str] = Counter()
        for process in psutil.process_iter(["cmdline", "cpu_times"]):
            if process.pid not in self.earlier_pids and process.info["cpu_times"] is not None:
                times = process.info["cpu_times"]
                used[_stage(" ".join(process.info["cmdline"] or ()))] += times.user + times.system
        return used


@dataclass(frozen=True)
class ServiceTimes:
    """CPU seconds of a query by stage, and seconds of a call of the stage, at one question at a time.

    `idle_cpus`: cores that the service uses without load.
    """

    cpu_s: dict[StageName, float]
    call_s: dict[StageName, float]
    idle_cpus: float


@contextmanager
def loaded_service(config: Path, folder: Path) -> Iterator[LoadedService]:
    """Run `ragserve up` with the deployment file and new storage until the block ends, each stage in its own process.

    Raises ServerStartError if the service does not start.
    """
    earlier_pids, own_config = frozenset(psutil.pids()), folder / "serve_config.yaml"
    own_config.write_text(yaml.safe_dump(with_own_storage(read(config), folder / "state"), sort_keys=False))
    with running(ragserve_up(own_config, placement="configured"), folder, 1) as server:
        texts, documents = Texts(seed=1), folder / "documents"
        documents.mkdir()
        for number in range(NUM_FILES):
            (documents / f"{number}.txt").write_text("\n\n".join(texts.passages(PASSAGES_PER_FILE)))
        with RemoteService(server.url) as service:
            ingest_files(service, [documents], DEFAULT_VECTOR_STORE, Console(quiet=True))
        questions = tuple(texts.questions(NUM_QUESTIONS))
        bodies = write_bodies(folder / "bodies.jsonl", [_body(question) for question in questions])
        yield LoadedService(server, bodies, questions, earlier_pids)


def service_times(service: LoadedService, warm_s: float, seconds: float) -> ServiceTimes:
    """Ask one question at a time for `seconds`, after a warm-up in which every candidate is reranked once."""
    service.drive(WARM_CLIENTS, warm_s)
    idle_s = min(MAX_IDLE_S, seconds)
    time.sleep(idle_s)
    before = service.cpu_seconds()
    time.sleep(idle_s)
    idle = {name: (used - before[name]) / idle_s for name, used in service.cpu_seconds().items()}
    before, start = service.cpu_seconds(), time.perf_counter()
    timings = _ask(service, seconds)
    elapsed_s, after = time.perf_counter() - start, service.cpu_seconds()
    return ServiceTimes(
        # The work of an idle replica is not part of a query.
        {
            stage: max(0.0, after[stage] - before[stage] - idle.get(stage, 0.0) * elapsed_s) / len(timings)
            for stage in STAGES
        },
        {stage: median(row[stage] for row in timings) for stage in STAGES if all(stage in row for row in timings)},
        sum(idle.values()),
    )


def with_own_storage(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The deployment file with new storage: SQLite and files in `folder`. Existing documents stay untouched.

    Its database, Milvus and API keys are not used. The explicit URL overrides RAGSERVE_DATABASE_URL.
    """
    isolated = copy.deepcopy(raw)
    arguments = isolated["applications"][0].setdefault("args", {})
    arguments["storage"] = {"data_dir": str(folder), "database_url": f"sqlite:///{folder / 'ragserve.db'}"}
    (arguments.get("api") or {}).pop("keys_file", None)
    return isolated


def _ask(service: LoadedService, seconds: float) -> list[dict[StageName, float]]:
    """The stage timings of each answer, in seconds."""
    timings: list[dict[StageName, float]] = []
    end = time.perf_counter() + seconds
    # The questions repeat, and the plan needs the cost of a computed answer.
    headers = {"cache-control": "no-store"}
    with httpx.Client(base_url=service.server.url, trust_env=False, timeout=TIMEOUT_S, headers=headers) as client:
        while time.perf_counter() < end or not timings:
            question = service.questions[len(timings) % len(service.questions)]
            timings.append(client.post(PATH, json=_body(question)).raise_for_status().json()["timings"])
    return timings


def _body(question: str) -> dict[str, Any]:
    return {"query": question, "mode": "hybrid"}


def _stage(command_line: str) -> str:
    """The stage of a process. Serve puts the deployment into its title; a shard's deployment adds a number."""
    match = REPLICA.match(command_line)
    stages = [stage for stage, name in DEPLOYMENTS.items() if match and match.group(1).startswith(name)]
    return stages[0] if stages else NO_STAGE
