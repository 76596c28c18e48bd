"""The command line. Each command imports what it needs: `--help` is quick, Ray's environment is set before Ray."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from models.errors import RagError
from models.types import DEFAULT_VECTOR_STORE
from serve.cli.bench.command import bench
from serve.cli.eval.command import evaluate_command
from serve.cli.kubernetes.command import kubernetes
from serve.cli.plan.command import plan_command

app = typer.Typer(
    help="Cited answers from your documents: a Ray Serve application and the tools around it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
console = Console(highlight=False, soft_wrap=True)
errors = Console(highlight=False, soft_wrap=True, stderr=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The deployment file.", dir_okay=False)]
UrlOption = Annotated[str, typer.Option("--url", "-u", envvar="RAGSERVE_URL", help="Where the service listens.")]
StoreOption = Annotated[str, typer.Option("--store", "-s", help="Vector store.")]
DEFAULT_CONFIG = Path("serve_config.yaml")
DEFAULT_URL = "http://127.0.0.1:8000"


@app.command()
def up(
    config: ConfigOption = DEFAULT_CONFIG,
    port: Annotated[int | None, typer.Option(help="Port to listen on, instead of the file's.", min=1)] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the state, instead of the file's.")] = None,
    ingest_path: Annotated[list[Path] | None, typer.Option("--ingest", help="Ingest this once serving.")] = None,
    ask_question: Annotated[str | None, typer.Option("--ask", help="Ask this once serving.")] = None,
) -> None:
    """Start Ray and the application, and serve until Ctrl-C. A changed config file is applied while serving."""
    from deployments.cluster import environment

    environment.apply()
    from serve.cli.up.run import run_until_stopped

    def when_ready(url: str) -> None:
        if ingest_path:
            ingest(ingest_path, url)
        if ask_question:
            console.print(f"\n[bold]{ask_question}[/bold]\n")
            ask(ask_question, url)

    run_until_stopped(config, port, data, console, when_ready)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.", exists=True)],
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
) -> None:
    """Make documents searchable: Markdown, HTML, text, PDF, DOCX. The same file twice changes nothing."""
    from serve.cli.ingest.files import ingest_files
    from serve.cli.remote import RemoteService

    with RemoteService(url) as service:
        failed = ingest_files(service, paths, store, console)
    if failed:
        raise typer.Exit(1)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    url: UrlOption = DEFAULT_URL,
    store: StoreOption = DEFAULT_VECTOR_STORE,
    top_k: Annotated[int, typer.Option(help="Passages to answer from.", min=1, max=50)] = 5,
) -> None:
    """Ask a question: the answer as it comes, then what it cites."""
    from serve.cli.remote import RemoteError, RemoteService

    with RemoteService(url) as service:
        for event, body in service.ask(question, store, top_k):
            if event == "text":
                console.print(body["text"], end="", markup=False)
            elif event == "error":
                raise RemoteError(body["error"]["message"])
            elif event == "done":
                _print_evidence(body)


@app.command()
def status(url: UrlOption = DEFAULT_URL, store: StoreOption = DEFAULT_VECTOR_STORE) -> None:
    """Which stages answer, with what model, what is being loaded or did not load, and how many files are searchable."""
    from serve.cli.remote import RemoteService

    with RemoteService(url) as service:
        readiness = service.readiness()
        body = service.vector_store(store)
    counts, building = body["file_counts"], body["index"]["building"]
    for name, stage in readiness["stages"].items():
        mark = "[green]ready[/green]    " if stage["ready"] else "[red]not ready[/red]"
        console.print(f"{name:<10} {mark} {_models(stage)}")
        if stage["error"]:
            console.print(f"{'':<10} {stage['error']}", markup=False, style="red")
    numbers = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if name != "total")
    console.print(f"{store:<10} {counts['total']} files: {numbers}")
    if building:
        done = f"{building['num_done']} of {building['num_chunks']} chunks"
        console.print(f"{'':<10} searched in {body['index']['generation']}; {building['generation']} has {done}")
    if not readiness["ready"]:
        raise typer.Exit(1)


def _models(stage: dict[str, Any]) -> str:
    """What serves, what is on trial, and what is to follow."""
    canary = stage["canary"]
    said = (
        stage["model"],
        canary and f"{canary['model']} on trial with {100 * canary['share']:g} %",
        stage["loading"] and f"loading {stage['loading']}",
    )
    return ", ".join(filter(None, said))


DataOption = Annotated[Path | None, typer.Option(help="Folder of the state, instead of the file's.")]


@app.command()
def backup(
    destination: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    since: Annotated[Path | None, typer.Option(help="A backup before, whose uploads are linked, not copied.")] = None,
) -> None:
    """Copy everything that is stored, as of one moment, while the service runs."""
    from serve.cli.backup.run import back_up

    back_up(config, data, destination, since, console)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A backup.", exists=True, file_okay=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace what is stored.")] = False,
) -> None:
    """Put a backup in the place of what is stored, in one step, while the service runs."""
    from serve.cli.backup.run import restore as restore_from

    restore_from(config, data, source, yes, console)


app.command("eval")(evaluate_command)
app.command("plan")(plan_command)
app.add_typer(bench, name="bench")
app.add_typer(kubernetes, name="kubernetes")


@app.command("check-config")
def check_config(
    config: Annotated[Path, typer.Argument(help="The deployment file.", dir_okay=False)] = DEFAULT_CONFIG,
    cpus: Annotated[float | None, typer.Option(help="CPUs to fit on, instead of this machine's.", min=0)] = None,
    gpus: Annotated[float | None, typer.Option(help="GPUs to fit on, instead of this machine's.", min=0)] = None,
) -> None:
    """Refuse any unknown key, alias or impossible resource in the deployment file."""
    from deployments.cluster import environment

    environment.apply()
    from deployments.cluster.start import ClusterSize
    from serve.config_file import Machine, check, read

    here = ClusterSize.of_this_machine()
    machine = Machine(here.num_cpus if cpus is None else cpus, here.num_gpus if gpus is None else gpus)
    problems = check(read(config), machine)
    for problem in problems:
        errors.print(f"{config}: {problem}", markup=False)
    if problems:
        raise typer.Exit(2)
    console.print(f"{config}: ok")


def _print_evidence(body: dict[str, Any]) -> None:
    console.print("\n")
    for citation in body["citations"]:
        quote = " ".join(citation["quote"].split())
        where = f"{citation['filename']} ({citation['start']}-{citation['end']})"
        console.print(f"[{citation['id']}] {where}: {quote}", markup=False, style="dim")
    seconds = ", ".join(f"{stage} {took * 1000:.0f} ms" for stage, took in body["timings"].items())
    console.print(f"\n{seconds}", style="dim")
    if body["degraded"]:
        console.print(f"without: {', '.join(body['degraded'])}", style="yellow")


def main() -> None:
    """Entry point: our errors are a line for a person, everything else a traceback for us."""
    try:
        app()
    except RagError as error:
        errors.print(f"error: {error}", markup=False, style="red")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
