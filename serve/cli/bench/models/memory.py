"""What each replica takes: its own memory and its share of what it shares, against its model's alone."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import psutil

from serve.cli.bench.models.offline import Job, Memory, offline
from serve.cli.bench.models.rows import OURS, Row
from serve.cli.bench.models.session import ENCODER, Session
from serve.cli.driver import servers as servers
from serve.cli.driver.servers import Server

REPLICA = re.compile(r"ServeReplica:[^:]+:(\w[\w-]*)")
LATE_INTERACTION = "late-interaction"
JOBS = {
    "Embedder": Job("embedding", ENCODER, None, {}),
    "Reranker": Job("reranking", LATE_INTERACTION, None, {}),
}


def rows(session: Session) -> Iterator[Row]:
    """A row a replica, one for what is not a replica, and one a model that a process holds alone."""
    alone = {stage: _alone(session, job) for stage, job in JOBS.items()}
    with ExitStack() as stack:
        server = session.start(stack, servers.ragserve(session.plan, session.folder, {"Embedder": ENCODER}))
        replicas = replicas_of(server)
        for stage, replica in sorted(replicas.items()):
            yield Row(f"memory of {stage}", OURS, "MB", pss_mb([replica]), note=_note(alone.get(stage)))
            if stage in alone:
                yield Row(f"memory of {stage}", "the model, in a process alone", "MB", alone[stage].pss_mb)
        everything = pss_mb([psutil.Process(server.pid)])
        rest = everything - pss_mb(list(replicas.values()))
        yield Row("memory beside the replicas", OURS, "MB", rest, note="Ray, Serve's controller and proxy, the command")


def _alone(session: Session, job: Job) -> Memory:
    with offline(job, session.plan.threads) as process:
        return process.memory


def _note(memory: Memory | None) -> str:
    return f"weights {memory.weights_mb:.0f} MB" if memory else ""


def replicas_of(server: Server) -> dict[str, psutil.Process]:
    """A service's replicas by deployment."""
    found = {}
    for process in psutil.Process(server.pid).children(recursive=True):
        if match := REPLICA.search(" ".join(process.cmdline())):
            found[match[1]] = process
    return found


def pss_mb(processes: Sequence[psutil.Process]) -> float:
    """Proportional set size of the processes and all of their children, in MB: shared pages count once."""
    trees = {one for process in processes for one in [process, *process.children(recursive=True)]}
    return sum(process.memory_full_info().pss for process in trees) / 1e6
