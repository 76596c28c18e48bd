"""The faults of a service: those of its own processes, of its clients, its disk, its clock, the servers beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors.configuration import ConfigError
from serve.cli.chaos.client_faults import IdleClients, SlowClients
from serve.cli.chaos.clock_fault import DAY_S, ClockJump
from serve.cli.chaos.command_fault import CommandFault
from serve.cli.chaos.disk_faults import FullDisk, LockedDatabase
from serve.cli.chaos.fault import Fault
from serve.cli.chaos.process_faults import Killed, Processes, Stopped
from serve.cli.chaos.processes import (
    CONTROLLER,
    ENGINE,
    GCS,
    HAPROXY,
    PROXY_MANAGER,
    REPLICA,
    children_of,
    service_processes,
    stages_of,
)
from serve.cli.chaos.server_faults import Server

GCS_NEEDS = {"RAY_REDIS_ADDRESS", "RAY_GCS_SERVER_PORT"}
HUNG_STAGES = ("Embedder", "Reranker", "Generator")


@dataclass(frozen=True)
class Surroundings:
    """What the service has beside its processes. `clock` is the file that loadtests/jumping_clock.c reads."""

    data: Path
    servers: Sequence[Server] = ()
    commands: Sequence[CommandFault] = ()
    clock: Path | None = None


def faults_of(pid: int, url: str, surroundings: Surroundings, only: Sequence[str] = ()) -> list[Fault]:
    """The faults of the service whose `ragserve up` is process `pid`, or those named by a text of `only`.

    Raises ConfigError.
    """
    faults: list[Fault] = [
        *_of_processes(pid),
        SlowClients(url),
        IdleClients(url),
        *_of_disk(surroundings.data),
        *(fault for server in [*_gcs_of(pid), *surroundings.servers] for fault in server.faults()),
        *surroundings.commands,
        *([] if surroundings.clock is None else [ClockJump(surroundings.clock, sign * DAY_S) for sign in (1, -1)]),
    ]
    for text in only:
        if not any(text.lower() in fault.name.lower() for fault in faults):
            raise ConfigError("--only", f"no fault has {text!r} in its name: {'; '.join(each.name for each in faults)}")
    return [fault for fault in faults if not only or any(text.lower() in fault.name.lower() for text in only)]


def _of_processes(pid: int) -> list[Fault]:
    def titled(title: str) -> Processes:
        return lambda: service_processes(pid, title)

    stages = stages_of(pid)
    kills: list[Fault] = [
        Killed("HAProxy", titled(HAPROXY)),
        Killed("Serve's manager of HAProxy", titled(PROXY_MANAGER)),
        Killed("HAProxy and its supervisor", lambda: children_of(pid, PROXY_MANAGER)),
        Killed("Serve's controller", titled(CONTROLLER)),
        *(Killed(stage, titled(f"{REPLICA}{stage}")) for stage in stages),
    ]
    for stage in stages:
        if (count := len(service_processes(pid, f"{REPLICA}{stage}"))) > 1:
            kills.append(Killed(f"one of {count} {stage} replicas", titled(f"{REPLICA}{stage}"), 1))
    hung: list[Fault] = [Stopped(stage, titled(f"{REPLICA}{stage}")) for stage in HUNG_STAGES if stage in stages]
    if not service_processes(pid, ENGINE):
        return [*kills, *hung]
    return [*kills, Killed("vLLM's engine", titled(ENGINE)), *hung, Stopped("vLLM's engine", titled(ENGINE))]


def _gcs_of(pid: int) -> list[Server]:
    """Ray's GCS, if its state survives it in Redis: without it a cluster ends. Needs RAY_GCS_SERVER_PORT too."""
    processes = [process for process in service_processes(pid, GCS) if process.name() == GCS]
    return [Server("Ray's GCS", each.pid) for each in processes if each.environ().keys() >= GCS_NEEDS]


def _of_disk(data: Path) -> list[Fault]:
    """A folder on a large disk gets no full disk, since other programs would have it too."""
    full, locked = FullDisk(data), LockedDatabase(data)
    return [*([full] if full.is_possible() else []), *([locked] if locked.is_possible() else [])]
