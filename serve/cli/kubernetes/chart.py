"""A Helm chart of an overlay: the same resources as kustomize applies, with the image's place as a value."""

import re
from pathlib import Path
from typing import Any

import yaml

from models.errors import ConfigError
from serve.cli.kubernetes.render import GENERATED_FILE

KUSTOMIZATION = "kustomization.yaml"
BASE, NAMESPACE, SECRETS = "../../base", "namespace.yaml", "secrets.yaml"
IMAGE = re.compile(r"image: (ragserve-(?:cpu|cuda))(?::\S+)?$", re.MULTILINE)
IMAGE_VALUE = r"image: {{ with .Values.image.registry }}{{ . }}/{{ end }}\1:{{ .Values.image.tag }}"
VALUES = """# Where the images are; see kuberay/Dockerfile.
image:
  registry: "" # such as registry.example.com/team
  tag: {version}
secrets:
  create: true # empty Secrets for kuberay/make-secrets.sh to fill; false: another tool owns them
"""
NOTES = """Fill the Secrets: DATABASE_URL=… NAMESPACE={{ .Release.Namespace }} kuberay/make-secrets.sh | kubectl apply \
--server-side --field-manager=ragserve-secrets -f -
Then follow docs/kubernetes.md.
"""


def chart_of(overlay: Path, version: str) -> dict[str, str]:
    """The chart's files by path. `overlay` has been rendered. Raises ConfigError for what a chart cannot have."""
    sources = _sources(overlay)
    files = {f"templates/{path.parent.name}-{path.name}": _template(path) for path in sources if path.name != NAMESPACE}
    about = {
        "apiVersion": "v2",
        "name": "ragserve",
        "description": f"ragserve on KubeRay, as the overlay {overlay.name} has it.",
        "type": "application",
        "version": version,
        "appVersion": version,
    }
    return {
        "Chart.yaml": yaml.safe_dump(about, sort_keys=False),
        "values.yaml": VALUES.replace("{version}", version),
        "templates/NOTES.txt": NOTES,
        **files,
    }


def _sources(overlay: Path) -> list[Path]:
    """The files of the base's resources, and of the overlay's own."""
    own = _kustomization(overlay)
    unsupported = sorted(set(own) - {"apiVersion", "kind", "namespace", "resources", "images"})
    if unsupported:
        raise ConfigError(str(overlay / KUSTOMIZATION), f"a chart cannot have {', '.join(unsupported)}; use kustomize")
    base = overlay / BASE
    names = [name for name in own["resources"] if name != BASE]
    if GENERATED_FILE not in names:
        raise ConfigError(str(overlay / KUSTOMIZATION), f"has no {GENERATED_FILE}")
    resources = [*(base / name for name in _kustomization(base)["resources"]), *(overlay / name for name in names)]
    return [path.resolve() for path in resources]


def _template(path: Path) -> str:
    """Helm reads braces that belong to the manifests, such as those of alerts, as its own."""
    text = path.read_text().replace("{{", '{{ "{{" }}')
    text = IMAGE.sub(IMAGE_VALUE, text)
    return f"{{{{- if .Values.secrets.create }}}}\n{text}{{{{- end }}}}\n" if path.name == SECRETS else text


def _kustomization(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / KUSTOMIZATION).read_text())
    return content
