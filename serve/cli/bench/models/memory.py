"""The memory of each replica, with its share of shared pages, against its model alone in a process."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import psutil

from serve.cli.bench.models.offline import Job, Memory
from serve.cli.bench.models.rows import Row
from serve.cli.bench.models.session import Session
from serve.cli.driver.random_models import ENCODER
from serve.cli.driver.servers import OURS, Server

REPLICA = re.compile(r"ServeReplica:[^:]+:(\w[\w-]*)")
LATE_INTERACTION = "late-interaction"
JOBS = {
    "Embedder": Job("embedding", ENCODER, None, {}),
    "Reranker": Job("reranking", LATE_INTERACTION, None, {}),
}


def rows(session: Session) -> Iterator[Row]:
    """A row a replica, a row for all other processes, and a row for each model in a process alone."""
    alone = {stage: _alone(session, job) for stage, job in JOBS.items()}
    with ExitStack() as stack:
        server = session.start_ragserve(stack, {"Embedder": ENCODER})
        replicas = replicas_of(server)
        for stage, replica in sorted(replicas.items()):
            yield Row(f"memory of {stage}", OURS, "MB", pss_mb([replica]), note=_note(alone.get(stage)))
            if stage in alone:
                yield Row(f"memory of {stage}", "the model, in a process alone", "MB", alone[stage].pss_mb)
        total_mb = pss_mb([psutil.Process(server.pid)])
        other_mb = total_mb - pss_mb(list(replicas.values()))
        yield Row(
            "memory beside the replicas", OURS, "MB", other_mb, note="Ray, Serve's controller and proxy, the command"
        )


def _alone(session: Session, job: Job) -> Memory:
    with session.offline(job) as process:
        return process.memory


def _note(memory: Memory | None) -> str:
    return f"weights {memory.weights_mb:.0f} MB" if memory else ""


def replicas_of(server: Server) -> dict[str, psutil.Process]:
    """The processes of a service's replicas, by deployment."""
    replicas = {}
    for process in psutil.Process(server.pid).children(recursive=True):
        if match := REPLICA.search(" ".join(process.cmdline())):
            replicas[match[1]] = process
    return replicas


def pss_mb(processes: Sequence[psutil.Process]) -> float:
    """Proportional set size of the processes and all of their children, in MB: shared pages count once."""
    tree = {member for process in processes for member in [process, *process.children(recursive=True)]}
    return sum(process.memory_full_info().pss for process in tree) / 1e6
