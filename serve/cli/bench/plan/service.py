"""`ragserve bench plan --service`: the service as it ships, under load, beside what its measured profile says of it."""

from collections.abc import Callable
from pathlib import Path

from models.errors import StageUnavailableError
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
    config: Path, profile: Path | None, seconds: float, folder: Path, say: Callable[[str], None]
) -> Check:
    """Throughput and latency of so many clients in a closed loop. A profile that is given has all candidates cached.

    Nothing else may run on the machine; the load driver shares its cores with the service.
    """
    plan = MeasurePlan(cached=1.0)
    times = Profile.read(profile) if profile else measure(config, plan, HERE, say)
    expected = predicted(times, NUM_CHUNKS)
    say(f"the service, {CLIENTS} clients")
    with loaded_service(config, folder) as service:
        service.drive(CLIENTS, WARM_S)
        found = service.drive(CLIENTS, seconds)
    if found.errors:
        raise StageUnavailableError(f"{PATH}: {found.messages[0]}")
    name = f"{CLIENTS} clients, ragserve up"
    return Check(name, "", len(STAGES), expected.per_s, found.per_s, expected.p95_s, found.p95_s)


def predicted(profile: Profile, chunks: int) -> Simulated:
    """One replica of each stage on this machine, simulated. How many calls share a message follows from the rate."""
    rate, cores = 1.0, (float(this_machine().classes[HERE].cpus),)
    for _ in range(3):
        times = {name: profile.times(name, rate)[HERE].with_chunks(chunks) for name in STAGES}
        stations = {name: Station(one, one.max_batch, ((0,),)) for name, one in times.items()}
        found = closed_loop(Layout(stations, cores, profile.hop_s), CLIENTS, SIMULATED_S)
        rate = found.per_s
    return found
