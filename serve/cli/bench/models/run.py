"""The run of `ragserve bench models`: a group after the other, each with its servers started, loaded and ended."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from models.errors import InvalidRequestError
from serve.cli.bench.models import embed as models_embed
from serve.cli.bench.models import generate as models_generate
from serve.cli.bench.models import memory as models_memory
from serve.cli.bench.models import rerank as models_rerank
from serve.cli.bench.models.rows import GROUPS, OURS, Plan, Row, take_turns
from serve.cli.bench.models.session import Session, served
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.servers import Launch

RUNS: dict[str, Callable[[Session], Iterator[Row]]] = {
    "embed": models_embed.rows,
    "rerank": models_rerank.rows,
    "generate": models_generate.rows,
    "memory": models_memory.rows,
}
NUM_BODIES, ANSWER_BYTES = 1024, "2200"  # a vector of 384 float32 in base64, and what stands around it
LIBRARIES = ("torch", "transformers", "sentence-transformers", "ray")


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """Every row, as soon as it is measured. Raises InvalidRequestError for an unknown group."""
    if unknown := set(plan.groups) - set(GROUPS):
        raise InvalidRequestError(f"no rows {unknown.pop()!r}; they are {', '.join(GROUPS)}", "rows")
    session = Session.of(plan, folder, say)
    yield from ceiling_rows(session)
    for group in plan.groups:
        yield from RUNS[group](session)


def ceiling_rows(session: Session) -> Iterator[Row]:
    """The load against a server that does nothing: what the driver itself could ask for, and its CPU."""
    clients = session.plan.clients
    what = f"ceiling of the load, {clients} clients"
    bodies = session.write("ceiling", [{"input": query} for query in session.words.queries(NUM_BODIES)])
    launch = Launch(
        "constant answers", [sys.executable, "-m", "serve.cli.driver.constant_server", "{port}", ANSWER_BYTES], "/", {}
    )
    with ExitStack() as stack:
        server = session.start(stack, launch)
        contenders = [served(OURS, server, Load("", 0, "/", str(bodies), clients, 0.0))]
        result = take_turns(contenders, session.plan)[OURS]
    note = f"an answer of {ANSWER_BYTES} bytes; the driver took {result.driver_cpu:.0%} of a core"
    yield Row(what, launch.name, "requests/s", result.per_s, result.p50_s * 1000, result.p99_s * 1000, note=note)


def describe_machine(plan: Plan) -> dict[str, str]:
    """What the figures depend on beside the code."""
    import torch

    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if plan.device == "cuda" else "cpu",
        "threads of each server": str(plan.threads),
        "versions": f"Python {platform.python_version()}, {versions}",
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def caption(plan: Plan, machine: dict[str, str]) -> str:
    """What a reader must know of the table: one paragraph of Markdown."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['device']}; {machine['versions']}. "
        f"Every server has {plan.threads} thread(s) for its model and the machine's cores to share with its clients, "
        f"which are another process; all servers of a group are up at once and take turns of {plan.turn_s:g} s, "
        f"{plan.num_turns} each, of which the median counts. Offline is the model called in a process of its own, in "
        "the fastest of several libraries and batch sizes."
    )
