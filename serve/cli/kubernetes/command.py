"""The commands `ragserve kubernetes …`."""

from pathlib import Path
from typing import Annotated

import typer

from models.errors.configuration import ConfigError
from serve.cli.options import DEFAULT_CONFIG, ConfigOption, console, errors

kubernetes = typer.Typer(
    help="Generate the manifests in kuberay/; see docs/kubernetes.md.", no_args_is_help=True, rich_markup_mode=None
)


@kubernetes.callback()
def _group() -> None:
    """Typer would drop the name `render` without this, because it is the only command."""


@kubernetes.command()
def render(
    overlays: Annotated[
        list[Path] | None,
        typer.Argument(help="Overlay folders with a values.yaml; default: all.", file_okay=False, exists=True),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    folder: Annotated[Path, typer.Option(help="Folder with template.yaml and overlays/.", file_okay=False)] = Path(
        "kuberay"
    ),
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 2 if a file is out of date.")
    ] = False,
) -> None:
    """Write generated.yaml of each overlay.

    Combines serve_config.yaml, template.yaml and the overlay's values.yaml.
    """
    from deployments.cluster import environment

    environment.apply()  # before Ray is imported
    from serve.cli.kubernetes.render import GENERATED_FILE, TEMPLATE_FILE, overlays_of
    from serve.cli.kubernetes.render import render as render_overlay

    is_current = True
    for overlay in overlays or overlays_of(folder):
        manifest = render_overlay(config, overlay, folder / TEMPLATE_FILE)
        path = overlay / GENERATED_FILE
        is_current &= _check(path, manifest) if only_check else _write(path, manifest)
    if not is_current:
        raise typer.Exit(2)


@kubernetes.command()
def chart(
    output: Annotated[Path, typer.Argument(help="Folder to write the chart to.", file_okay=False)],
    overlay: Annotated[Path, typer.Option(help="Overlay folder.", file_okay=False, exists=True)] = Path(
        "kuberay/overlays/cpu"
    ),
    version: Annotated[str, typer.Option(help="Version of the chart and of the images.")] = "0.1.0",
) -> None:
    """Write a Helm chart of an overlay, from the manifests that `render` made.

    A chart of ragserve in the folder is replaced.
    """
    from deployments.cluster import environment

    environment.apply()  # before Ray is imported
    from serve.cli.kubernetes.chart import chart_of, stale_templates, unwritable

    files = chart_of(overlay, version)
    if problem := unwritable(output):
        raise ConfigError(str(output), problem)
    for path in stale_templates(output, files):
        path.unlink()
        console.print(f"{path}: removed", markup=False)
    for name, text in files.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, text)


def _check(path: Path, manifest: str) -> bool:
    """Whether the file is up to date; prints what to do if not."""
    is_current = _is_current(path, manifest)
    if not is_current:
        errors.print(f"{path}: out of date; run `ragserve kubernetes render`", markup=False)
    return is_current


def _write(path: Path, manifest: str) -> bool:
    """Always true: the file is up to date afterwards."""
    outcome = "unchanged" if _is_current(path, manifest) else "written"
    path.write_text(manifest)
    console.print(f"{path}: {outcome}", markup=False)
    return True


def _is_current(path: Path, manifest: str) -> bool:
    return path.exists() and path.read_text() == manifest
