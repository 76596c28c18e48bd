"""The command `ragserve up`."""

from pathlib import Path
from typing import Annotated

import typer

from models.errors.configuration import ConfigError
from serve.cli.ask.command import ask
from serve.cli.ingest.command import ingest
from serve.cli.options import DEFAULT_CONFIG, ConfigOption, DataOption, console
from serve.cli.up.placement import Placement
from serve.cli.up.stop_signals import stop_signals


# A command's options are its arguments.
def up(  # noqa: PLR0913
    config: ConfigOption = DEFAULT_CONFIG,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; overrides the deployment file.", min=1, max=65_535)
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on; overrides the deployment file. Beyond this machine, api.access is then `keys` "
            "unless the file sets it."
        ),
    ] = None,
    data: DataOption = None,
    placement: Annotated[
        Placement,
        typer.Option(
            help="auto: with up to 4 cores, the searchers run inside the ingress, which saves messages. "
            "configured: exactly as the deployment file says."
        ),
    ] = "auto",
    llm: Annotated[
        str | None, typer.Option(help="Alias of the model that answers; overrides the deployment file.")
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="Alias of the embedding model; overrides the deployment file, with its tokenizer and reranker."
        ),
    ] = None,
    ingest_paths: Annotated[
        list[Path] | None,
        typer.Option("--ingest", help="File or folder to ingest once the service is ready; repeatable."),
    ] = None,
    question: Annotated[str | None, typer.Option("--ask", help="Question to ask once the service is ready.")] = None,
) -> None:
    """Start a local service and run it until Ctrl-C.

    Saving the deployment file while the service runs applies the change. Ctrl-C or SIGTERM ends it at any moment, with
    all that it started. The exit status is 0, and 130 after a Ctrl-C before it serves.
    """
    if missing := [path for path in ingest_paths or [] if not path.exists()]:
        raise ConfigError("--ingest", f"{str(missing[0])!r} does not exist")

    def when_ready(url: str) -> None:
        if ingest_paths:
            ingest([str(path) for path in ingest_paths], url)
        if question:
            console.print(f"\n[bold]{question}[/bold]\n")
            ask(question, url)

    with stop_signals(console) as signals:
        with signals.interruptible():
            from deployments.cluster import environment

            environment.apply()  # before Ray is imported
            environment.keep_to_this_machine()
            from serve.cli.up.run import LocalConfig, run_until_stopped

        local = LocalConfig(config, port, data, placement, llm=llm, embedder=embedder, host=host)
        run_until_stopped(local, console, when_ready, signals)
