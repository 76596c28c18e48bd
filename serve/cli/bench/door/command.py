"""The command `ragserve bench door`."""

from typing import Annotated

import typer

from serve.cli.driver.options import QuickOption, TurnsOption, show, show_progress

QUICK_REQUESTS = 20


def door_command(
    num_requests: Annotated[int, typer.Option("--requests", help="Requests to each server in a turn.", min=10)] = 1_000,
    num_turns: TurnsOption = 3,
    quick: QuickOption = False,
) -> None:
    """Cost of keys, limits, breakers and deadlines, on and off in turns, request by request. --quick: 20 requests."""
    import signal

    from serve.cli.bench.door.run import HEAD, run

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: no server outlives this process
    rows = run(QUICK_REQUESTS if quick else num_requests, 1 if quick else num_turns, show_progress)
    show(HEAD, *(row.line() for row in rows))
