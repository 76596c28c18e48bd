"""The command `ragserve bench prefix`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import PlotOption, QuickOption, show, show_progress


# A command's options are its arguments.
def prefix_command(  # noqa: PLR0913
    num_requests: Annotated[int, typer.Option("--requests", help="Requests of the simulation.", min=100)] = 7_106,
    kv_tokens: Annotated[int, typer.Option(help="Tokens of the simulated KV cache.", min=10_000)] = 200_000,
    ingresses: Annotated[int, typer.Option(help="Ingress processes; each orders passages independently.", min=1)] = 1,
    engine_requests: Annotated[int, typer.Option(help="Requests of the replay on vLLM.", min=10)] = 300,
    engine_kv_tokens: Annotated[int, typer.Option(help="Tokens of vLLM's KV cache.", min=4_096)] = 20_000,
    llm: Annotated[Path | None, typer.Option(help="Folder of an LLM for a replay on vLLM; default: no replay.")] = None,
    plot: PlotOption = None,
    quick: QuickOption = False,
) -> None:
    """Fraction of prompt tokens in the engine's prefix cache, by order of the passages: simulated, and on vLLM.

    --quick simulates 500 requests, and with --llm replays 20 on vLLM.
    """
    from serve.cli.bench.prefix.run import run
    from serve.cli.bench.prefix.simulate import PrefixPlan, draw, table

    plan = PrefixPlan(num_requests, kv_tokens, ingresses, llm, engine_requests, engine_kv_tokens)
    rows = list(run(plan.as_quick() if quick else plan, show_progress))
    show(table(rows))
    if plot is not None:
        draw(rows, plot)
