"""A Helm chart of an overlay: the same resources as kustomize applies. The values are what clusters differ in."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from models.errors.configuration import ConfigError
from serve.cli.kubernetes.render import GENERATED_FILE

NAME, TEMPLATES = "ragserve", "templates"
KUSTOMIZATION = "kustomization.yaml"
BASE, NAMESPACE = "../../base", "namespace.yaml"
# Resources that another tool or release may own: file of the base -> value that leaves them out.
OPTIONAL = {"secrets.yaml": "secrets.create", "priorities.yaml": "priorityClasses.create"}
IMAGE = re.compile(r"image: (ragserve-(?:cpu|cuda))(?::\S+)?$", re.MULTILINE)
IMAGE_VALUE = r"image: {{ with .Values.image.registry }}{{ . }}/{{ end }}\1:{{ .Values.image.tag }}"
SHARED_VOLUME = "  accessModes: [ReadWriteMany]\n"
STORAGE_CLASS = "{{- with .Values.storage.className }}\n  storageClassName: {{ . | quote }}\n{{- end }}\n"
# Semantic versioning, which Helm requires, without build metadata, which an image's tag cannot have.
VERSION = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?"
VALUES = """# Where the images are; see kuberay/Dockerfile.
image:
  registry: "" # such as registry.example.com/team
  tag: {version}
storage:
  className: "" # a class with ReadWriteMany; empty: the cluster's default
secrets:
  create: true # empty Secrets for kuberay/make-secrets.sh to fill; false: another tool owns them
priorityClasses:
  create: true # they belong to the whole cluster: false in every release but the first
"""
NOTES = """{{ if .Values.secrets.create -}}
Fill the Secrets: DATABASE_URL=… NAMESPACE={{ .Release.Namespace }} kuberay/make-secrets.sh | kubectl apply \
--server-side --field-manager=ragserve-secrets -f -
{{ end -}}
Let the namespace refuse pods with more rights: kubectl label namespace {{ .Release.Namespace }} \
pod-security.kubernetes.io/enforce=restricted
Then follow docs/kubernetes.md. The volumes stay if you uninstall this release.
"""


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


CREATE = _object(create={"type": "boolean"})
# Helm checks values against it on lint, template, install and upgrade.
SCHEMA: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    **_object(
        image=_object(
            registry={
                "type": "string",
                "description": "host[:port][/path], without a scheme; empty: none",
                "pattern": r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)?$",
            },
            tag={"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"},
        ),
        storage=_object(className={"type": "string", "pattern": r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$"}),
        secrets=CREATE,
        priorityClasses=CREATE,
    ),
}
SCHEMA["properties"]["global"] = {"type": "object", "description": "Helm adds it where this is a subchart."}


def chart_of(overlay: Path, version: str) -> dict[str, str]:
    """The chart's files by path. `overlay` has been rendered. Raises ConfigError for what a chart cannot have."""
    if not re.fullmatch(VERSION, version):
        raise ConfigError("--version", f"{version!r} must be a version such as 1.4.0 or 1.4.0-rc.1")
    paths = [path for path in _sources(overlay) if path.name != NAMESPACE]
    files = {f"{TEMPLATES}/{path.parent.name}-{path.name}": _template(path) for path in paths}
    about = {
        "apiVersion": "v2",
        "name": NAME,
        "description": f"ragserve on KubeRay, as the overlay {overlay.name} has it.",
        "type": "application",
        "version": version,
        "appVersion": version,
    }
    return {
        "Chart.yaml": yaml.safe_dump(about, sort_keys=False),
        "values.yaml": VALUES.replace("{version}", version),
        "values.schema.json": json.dumps(SCHEMA, indent=2) + "\n",
        f"{TEMPLATES}/NOTES.txt": NOTES,
        **files,
    }


def unwritable(folder: Path) -> str | None:
    """Why a chart must not be written to `folder`, which may exist."""
    about = folder / "Chart.yaml"
    if about.is_file():
        name = (yaml.safe_load(about.read_text()) or {}).get("name")
        return None if name == NAME else f"has the chart {name!r}; choose another folder"
    is_used = folder.is_dir() and any(folder.iterdir())
    return "is not empty and has no chart; choose another folder" if is_used else None


def stale_templates(folder: Path, files: dict[str, str]) -> list[Path]:
    """Templates of the chart in `folder` that `files` does not have, such as another overlay's."""
    return sorted(path for path in (folder / TEMPLATES).glob("*") if f"{TEMPLATES}/{path.name}" not in files)


def _sources(overlay: Path) -> list[Path]:
    """The files of the base's resources, and of the overlay's own."""
    if not (overlay / KUSTOMIZATION).is_file():
        raise ConfigError(str(overlay), f"has no {KUSTOMIZATION}; it must be an overlay such as kuberay/overlays/cpu")
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
    text = text.replace(SHARED_VOLUME, SHARED_VOLUME + STORAGE_CLASS)
    value = OPTIONAL.get(path.name)
    return f"{{{{- if .Values.{value} }}}}\n{text}{{{{- end }}}}\n" if value else text


def _kustomization(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / KUSTOMIZATION).read_text())
    return content
