"""`ragserve bench plan --service`: the service as it ships, under load, beside what its measured profile says of it."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from models.errors import StageUnavailableError
from models.types import DEFAULT_VECTOR_STORE
from serve.benchmarks.load import Load, LoadResult, drive
from serve.benchmarks.models_servers import HOST, RAGSERVE, Launch, Server, running
from serve.benchmarks.models_workload import write_bodies
from serve.benchmarks.plan_check import Check
from serve.ingest_files import ingest_files
from serve.planning.hardware import HERE, this_machine
from serve.planning.measure import MeasurePlan, measure
from serve.planning.profile import STAGES, Profile
from serve.planning.simulate import Layout, Simulated, Station, closed_loop
from serve.planning.texts import Texts
from serve.remote import RemoteService

CLIENTS = 16
NUM_FILES, PASSAGES_PER_FILE = 10, 20
NUM_QUESTIONS = 512
SIMULATED_S = 60.0
WARM_S = 20.0  # until the reranker has seen the passages
PATH = "/v1/query"


def check_service(
    config: Path, profile: Path | None, seconds: float, folder: Path, say: Callable[[str], None]
) -> Check:
    """Throughput and latency of so many clients in a closed loop. A profile that is given has all candidates cached.

    Nothing else may run on the machine; the load driver shares its cores with the service.
    """
    plan = MeasurePlan(cached=1.0)
    times = Profile.read(profile) if profile else measure(config, plan, HERE, say)
    expected = predicted(times, NUM_FILES * PASSAGES_PER_FILE)
    say(f"the service, {CLIENTS} clients")
    command = [*RAGSERVE, "up", "--config", str(config), "--data", str(folder / "state"), "--port", "{port}"]
    with running(Launch("ragserve", command, "/readyz", {}), folder, 1) as server:
        found = _loaded(server, seconds, folder)
    if found.errors:
        raise StageUnavailableError(f"{PATH}: {found.messages[0]}")
    name = f"{CLIENTS} clients, ragserve up"
    return Check(name, "", len(STAGES), expected.per_s, found.per_s, expected.p95_s, found.p95_s)


def predicted(profile: Profile, chunks: int) -> Simulated:
    """One replica of each stage on this machine, simulated. How many calls share a message follows from the rate."""
    rate, cores = 1.0, (float(this_machine().classes[HERE].cpus),)
    for _ in range(3):
        times = {name: profile.times(name, rate)[HERE].holding(chunks) for name in STAGES}
        stations = {name: Station(one, one.max_batch, ((0,),)) for name, one in times.items()}
        found = closed_loop(Layout(stations, cores, profile.hop_s), CLIENTS, SIMULATED_S)
        rate = found.per_s
    return found


def _loaded(server: Server, seconds: float, folder: Path) -> LoadResult:
    texts = Texts(seed=1)
    documents = folder / "documents"
    documents.mkdir()
    for number in range(NUM_FILES):
        (documents / f"{number}.txt").write_text("\n\n".join(texts.passages(PASSAGES_PER_FILE)))
    with RemoteService(server.url) as service:
        ingest_files(service, [documents], DEFAULT_VECTOR_STORE, Console(quiet=True))
    bodies: list[dict[str, object]] = [
        {"query": question, "mode": "hybrid"} for question in texts.questions(NUM_QUESTIONS)
    ]
    lines = str(write_bodies(folder / "bodies.jsonl", bodies))
    drive(Load(HOST, server.port, PATH, lines, CLIENTS, WARM_S))
    return drive(Load(HOST, server.port, PATH, lines, CLIENTS, seconds))
