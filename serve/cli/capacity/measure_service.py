"""The service as it ships, one question at a time: what CPU a query takes in each process, beside its computing."""

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

from models.types import DEFAULT_VECTOR_STORE
from serve.cli.capacity.profile import DEPLOYMENTS, STAGES, StageName
from serve.cli.capacity.texts import Texts
from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.servers import HOST, RAGSERVE, Launch, Server, running
from serve.cli.driver.workload import write_bodies
from serve.cli.ingest.files import ingest_files
from serve.cli.remote import RemoteService
from serve.config_file import read

PATH = "/v1/query"
NUM_FILES, PASSAGES_PER_FILE = 10, 20
NUM_CHUNKS = NUM_FILES * PASSAGES_PER_FILE
NUM_QUESTIONS = 512
WARM_CLIENTS = 8
MAX_LOOK_S = 5.0  # at the service without any load, and before that, until it rests
TIMEOUT_S = 60.0
REPLICA = re.compile(r"ray::ServeReplica:[^:]*:(\w+)")
ELSEWHERE = "elsewhere"  # Ray itself, its proxies, HAProxy


@dataclass(frozen=True)
class LoadedService:
    """A service that runs, with documents and questions. `pids` were there before it."""

    server: Server
    bodies: Path
    questions: tuple[str, ...]
    pids: Set[int]

    def drive(self, clients: int, seconds: float) -> LoadResult:
        """Clients in a closed loop, in a process of their own."""
        return drive(Load(HOST, self.server.port, PATH, str(self.bodies), clients, seconds))

    def cpu_seconds(self) -> Counter[str]:
        """That its processes have used so far, by stage."""
        used: Counter[str] = Counter()
        for process in psutil.process_iter(["cmdline", "cpu_times"]):
            if process.pid not in self.pids and process.info["cpu_times"] is not None:
                times = process.info["cpu_times"]
                used[_stage(" ".join(process.info["cmdline"] or ()))] += times.user + times.system
        return used


@dataclass(frozen=True)
class ServiceTimes:
    """One question at a time: CPU seconds of a query by stage, seconds that a call of the stage takes.

    `idle_cpus`: cores that the service keeps busy while nobody asks.
    """

    cpu_s: dict[StageName, float]
    call_s: dict[StageName, float]
    idle_cpus: float


@contextmanager
def loaded_service(config: Path, folder: Path) -> Iterator[LoadedService]:
    """`ragserve up` of the deployment file, with storage of its own, until the block ends.

    Raises PeerError if it does not start.
    """
    before, apart = frozenset(psutil.pids()), folder / "serve_config.yaml"
    apart.write_text(yaml.safe_dump(with_own_storage(read(config), folder / "state"), sort_keys=False))
    command = [*RAGSERVE, "up", "--config", str(apart), "--port", "{port}"]
    with running(Launch("ragserve", command, "/readyz", {}), folder, 1) as server:
        texts, documents = Texts(seed=1), folder / "documents"
        documents.mkdir()
        for number in range(NUM_FILES):
            (documents / f"{number}.txt").write_text("\n\n".join(texts.passages(PASSAGES_PER_FILE)))
        with RemoteService(server.url) as service:
            ingest_files(service, [documents], DEFAULT_VECTOR_STORE, Console(quiet=True))
        questions = tuple(texts.questions(NUM_QUESTIONS))
        bodies = write_bodies(folder / "bodies.jsonl", [_body(question) for question in questions])
        yield LoadedService(server, bodies, questions, before)


def service_times(service: LoadedService, warm_s: float, seconds: float) -> ServiceTimes:
    """Asks one question after the other for `seconds`, once every candidate has been reranked before."""
    service.drive(WARM_CLIENTS, warm_s)
    look_s = min(MAX_LOOK_S, seconds)
    time.sleep(look_s)
    before = service.cpu_seconds()
    time.sleep(look_s)
    idle = {name: (used - before[name]) / look_s for name, used in service.cpu_seconds().items()}
    before, start = service.cpu_seconds(), time.perf_counter()
    timings = _ask(service, seconds)
    took, after = time.perf_counter() - start, service.cpu_seconds()
    return ServiceTimes(
        # What a replica does without being asked is no part of a query.
        {
            stage: max(0.0, after[stage] - before[stage] - idle.get(stage, 0.0) * took) / len(timings)
            for stage in STAGES
        },
        {stage: median(one[stage] for one in timings) for stage in STAGES if all(stage in one for one in timings)},
        sum(idle.values()),
    )


def with_own_storage(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The deployment file, so that what is done to it touches nobody's documents: SQLite and files in `folder`.

    Neither its database, nor Milvus, nor its keys are used; RAGSERVE_DATABASE_URL does not count where a URL is given.
    """
    apart = copy.deepcopy(raw)
    arguments = apart["applications"][0].setdefault("args", {})
    arguments["storage"] = {"data_dir": str(folder), "database_url": f"sqlite:///{folder / 'ragserve.db'}"}
    (arguments.get("api") or {}).pop("keys_file", None)
    return apart


def _ask(service: LoadedService, seconds: float) -> list[dict[StageName, float]]:
    """What each answer says of the time of its stages, in seconds."""
    timings: list[dict[StageName, float]] = []
    end = time.perf_counter() + seconds
    with httpx.Client(base_url=service.server.url, trust_env=False, timeout=TIMEOUT_S) as client:
        while time.perf_counter() < end or not timings:
            question = service.questions[len(timings) % len(service.questions)]
            timings.append(client.post(PATH, json=_body(question)).raise_for_status().json()["timings"])
    return timings


def _body(question: str) -> dict[str, Any]:
    return {"query": question, "mode": "hybrid"}


def _stage(command_line: str) -> str:
    """Of a replica's process: Serve names it by its deployment. A shard's deployment has the stage's name and more."""
    named = REPLICA.match(command_line)
    found = [stage for stage, name in DEPLOYMENTS.items() if named and named.group(1).startswith(name)]
    return found[0] if found else ELSEWHERE
