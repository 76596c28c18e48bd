"""The run of `ragserve bench models`: one group after the other, each with its own servers."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from models.errors.requests import InvalidRequestError
from serve.cli.bench.models import embed, generate, memory, rerank
from serve.cli.bench.models.rows import GROUPS, HEAD, ModelsPlan, Row, table_row, write_json
from serve.cli.bench.models.session import Session
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.machine import describe_machine
from serve.cli.driver.options import show, show_progress
from serve.cli.driver.servers import constant_answers
from serve.cli.driver.turns import run_interleaved, served

GROUP_ROWS: dict[str, Callable[[Session], Iterator[Row]]] = {
    "embed": embed.rows,
    "rerank": rerank.rows,
    "generate": generate.rows,
    "memory": memory.rows,
}
NUM_BODIES = 1024
ANSWER_BYTES = 2200  # a vector of 384 float32 in base64, and the JSON around it

Rows = Callable[[ModelsPlan, Path, Callable[[str], None]], Iterator[Row]]


def measure(plan: ModelsPlan, output: Path | None, plot: Path | None, rows_of: Rows) -> None:
    """Prints the table, writes and draws the rows; those that were measured are written even if a later group fails."""
    # As Ctrl-C: no server outlives this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    machine = describe_machine(plan.threads, plan.device)
    rows: list[Row] = []
    try:
        with TemporaryDirectory() as folder:
            for row in rows_of(plan, Path(folder), show_progress):
                rows.append(row)
                show_progress(table_row(row))
    finally:
        show(caption(plan, machine), "", HEAD, *map(table_row, rows))
        if output is not None:
            write_json(output, rows, machine)
        if plot is not None and rows:
            from serve.cli.bench.models.plot import draw

            draw(rows, plot)


def run(plan: ModelsPlan, folder: Path, report: Callable[[str], None]) -> Iterator[Row]:
    """Every row, as soon as it is measured. Raises InvalidRequestError for an unknown group."""
    if unknown := set(plan.groups) - set(GROUPS):
        raise InvalidRequestError(f"unknown rows {unknown.pop()!r}; choose from {', '.join(GROUPS)}", "rows")
    session = Session.of(plan, folder, report)
    yield from ceiling_rows(session)
    for group in plan.groups:
        yield from GROUP_ROWS[group](session)


def ceiling_rows(session: Session) -> Iterator[Row]:
    """The load against a server that does nothing: the limit of the load driver, and its CPU."""
    clients = session.plan.clients
    what = f"ceiling of the load, {clients} clients"
    bodies = session.write("ceiling", [{"input": query} for query in session.words.queries(NUM_BODIES)])
    launch = constant_answers(ANSWER_BYTES)
    with ExitStack() as stack:
        server = session.start(stack, launch)
        contender = served(launch.name, server, Load("", 0, "/", str(bodies), clients, 0.0))
        result = run_interleaved([contender], session.plan.turn_s, session.plan.num_turns)[launch.name]
    note = f"an answer of {ANSWER_BYTES} bytes; the driver took {result.driver_cpu:.0%} of a core"
    yield Row(what, launch.name, "requests/s", result.per_s, result.p50_s * 1000, result.p99_s * 1000, note=note)


def caption(plan: ModelsPlan, machine: dict[str, str]) -> str:
    """How the table was measured: one paragraph of Markdown."""
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['device']}; {machine['versions']}. "
        f"Every server has {plan.threads} thread(s) for its model and the machine's cores to share with its clients, "
        f"which are another process. All servers of a group run at once and take turns of {plan.turn_s:g} s, "
        f"{plan.num_turns} each, of which the median counts. Offline is the model called in a process of its own, with "
        "the fastest of several libraries and batch sizes."
    )
