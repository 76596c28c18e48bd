"""The command `ragserve top`."""

from typing import Annotated

import typer

from serve.cli.options import DEFAULT_URL, UrlOption


def top(
    url: UrlOption = DEFAULT_URL,
    every: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two readings.")] = 2.0,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            help="URL of a node's metrics, such as http://node:9464/metrics; repeatable. Default: URL/metrics."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one interval and exit.")] = False,
) -> None:
    """Watch the stages, and name the bottleneck.

    Ctrl-C ends it.
    """
    from serve.cli.top.run import Watch

    Watch(url, metrics or [], every).run(once)
