"""The command `ragserve bench cache`."""

from pathlib import Path
from typing import Annotated

import typer

from serve.cli.driver.options import OutputOption, QuickOption
from serve.cli.options import DEFAULT_CONFIG, ConfigOption


# A command's options are its arguments.
def cache_command(  # noqa: PLR0913
    corpus: Annotated[
        Path, typer.Option(help="Folder that `ragserve bench corpus` made.", exists=True, file_okay=False)
    ],
    clients: Annotated[int, typer.Option(help="Clients at once.", min=1, max=256)] = 16,
    num_requests: Annotated[int, typer.Option("--requests", help="Questions of the trace.", min=10)] = 1_500,
    seconds: Annotated[float, typer.Option(help="Longest time of each replay of the trace.", min=1, max=600)] = 90.0,
    redis_url: Annotated[
        str | None, typer.Option(help="An empty Redis, for one more row.", envvar="RAGSERVE_REDIS_URL")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    output: OutputOption = None,
    quick: QuickOption = False,
) -> None:
    """A trace of questions that repeat as in production, without and with the caches: throughput, and hits by level.

    Each row is a new service on a copy of the corpus, so no row profits from the one before.
    """
    from serve.cli.bench.cache.run import CachePlan, measure
    from serve.cli.driver.corpus.prepared import PreparedCorpus

    plan = CachePlan(config, clients, num_requests, seconds, redis_url)
    measure(plan.as_quick() if quick else plan, PreparedCorpus.open(corpus), output)
