"""`ragserve bench plan --service`: the service as it ships, under load, against the prediction of its profile."""

from collections.abc import Callable
from pathlib import Path

from models.errors.stages import StageUnavailableError
from serve.cli.bench.plan.check import Check
from serve.cli.capacity.hardware import HERE, this_machine
from serve.cli.capacity.measure import MeasurePlan, measure
from serve.cli.capacity.measure_service import NUM_CHUNKS, PATH, loaded_service
from serve.cli.capacity.profile import STAGES, Profile
from serve.cli.capacity.simulate import Layout, Simulated, Station, closed_loop

CLIENTS = 16
SIMULATED_S = 60.0
WARM_S = 20.0  # until the reranker has seen the passages


def check_service(
    config: Path, profile: Path | None, seconds: float, folder: Path, report: Callable[[str], None]
) -> Check:
    """Throughput and latency of CLIENTS in a closed loop; `profile` must have all candidates cached.

    Nothing else may run on the machine; the load driver shares its cores with the service.
    """
    plan = MeasurePlan(cached=1.0)
    times = Profile.read(profile) if profile else measure(config, plan, HERE, report)
    expected = predicted(times, NUM_CHUNKS)
    report(f"the service, {CLIENTS} clients")
    with loaded_service(config, folder) as service:
        service.drive(CLIENTS, WARM_S)
        result = service.drive(CLIENTS, seconds)
    if result.errors:
        raise StageUnavailableError(f"{PATH}: {result.messages[0]}")
    name = f"{CLIENTS} clients, ragserve up"
    return Check(name, "", len(STAGES), expected.per_s, result.per_s, expected.p95_s, result.p95_s)


def predicted(profile: Profile, chunks: int) -> Simulated:
    """One replica of each stage on this machine, simulated. The rate determines how many calls share a message."""
    rate, cores = 1.0, (float(this_machine().classes[HERE].cpus),)
    for _ in range(3):
        times = {name: profile.times(name, rate)[HERE].with_chunks(chunks) for name in STAGES}
        stations = {name: Station(of_stage, of_stage.max_batch, ((0,),)) for name, of_stage in times.items()}
        simulated = closed_loop(Layout(stations, cores, profile.hop_s), CLIENTS, SIMULATED_S)
        rate = simulated.per_s
    return simulated
