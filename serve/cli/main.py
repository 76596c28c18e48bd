"""The command line, assembled: each command lives in a folder of its own and imports what it needs when it runs."""

import typer

from models.errors.base import RagError
from serve.cli.ask.command import ask
from serve.cli.backup.command import backup, restore
from serve.cli.backup.group import backups
from serve.cli.bench.command import bench
from serve.cli.chaos.command import chaos
from serve.cli.check_config.command import check_config
from serve.cli.conformance.command import conformance
from serve.cli.dead_letters.command import dead_letters, replay
from serve.cli.eval.group import evaluation
from serve.cli.files.command import files
from serve.cli.ingest.command import ingest
from serve.cli.keys.command import keys
from serve.cli.kubernetes.command import kubernetes
from serve.cli.mcp.command import mcp
from serve.cli.options import errors
from serve.cli.plan.command import plan
from serve.cli.status.command import status
from serve.cli.top.command import top
from serve.cli.up.command import up

app = typer.Typer(
    help="Answer questions over your documents, with citations: a Ray Serve application and its tools.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
for command in (
    up,
    ingest,
    ask,
    status,
    top,
    dead_letters,
    replay,
    check_config,
    backup,
    restore,
    plan,
    mcp,
    conformance,
    chaos,
):
    app.command()(command)
app.add_typer(evaluation, name="eval")
app.add_typer(backups, name="backups")
app.add_typer(files, name="files")
app.add_typer(keys, name="keys")
app.add_typer(kubernetes, name="kubernetes")
app.add_typer(bench, name="bench")


def main() -> None:
    """Run a command. A RagError is printed as one line; any other exception keeps its traceback."""
    try:
        app()
    except RagError as error:
        errors.print(f"error: {error}", markup=False, style="red")
        raise SystemExit(1) from None
    except KeyboardInterrupt:  # typer answers one that comes later
        raise SystemExit(130) from None
