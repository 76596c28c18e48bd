"""The commands `ragserve kubernetes …`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

kubernetes = typer.Typer(
    help="The manifests in kuberay/; docs/kubernetes.md says how to use them.", no_args_is_help=True
)
console = Console(highlight=False, soft_wrap=True)
errors = Console(highlight=False, soft_wrap=True, stderr=True)


@kubernetes.callback()
def _group() -> None:
    """Keeps `render` a command of its own while it is the only one."""


@kubernetes.command()
def render(
    overlays: Annotated[
        list[Path] | None,
        typer.Argument(help="Overlays with a values.yaml, instead of all.", file_okay=False, exists=True),
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The deployment file.", dir_okay=False)] = Path(
        "serve_config.yaml"
    ),
    folder: Annotated[Path, typer.Option(help="Where template.yaml and overlays/ are.", file_okay=False)] = Path(
        "kuberay"
    ),
    only_check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a file would change.")] = False,
) -> None:
    """Write each overlay's generated.yaml from serve_config.yaml, template.yaml and the overlay's values.yaml."""
    from deployments.cluster import environment

    environment.apply()
    from serve.cli.kubernetes.render import GENERATED_FILE, TEMPLATE_FILE, overlays_of
    from serve.cli.kubernetes.render import render as render_overlay

    stale = False
    for overlay in overlays or overlays_of(folder):
        text, path = render_overlay(config, overlay, folder / TEMPLATE_FILE), overlay / GENERATED_FILE
        same = path.exists() and path.read_text() == text
        if only_check and not same:
            stale = True
            errors.print(f"{path}: is not what {config} and the values give; run `ragserve kubernetes render`")
        elif not only_check:
            path.write_text(text)
            console.print(f"{path}: {'unchanged' if same else 'written'}")
    if stale:
        raise typer.Exit(2)
