"""A service of a command's own: the operator's stages and models, with other data."""

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from serve.cli.driver.servers import HOST
from serve.config_file import read


def write_own_config(config: Path, folder: Path, left_out: Collection[str], arguments: dict[str, Any]) -> Path:
    """Write the deployment file `config` into `folder`: on this machine alone, with `arguments` in place of its own.

    `left_out` are sections of the settings that a second service must not have. Returns the file's path.
    """
    raw = copy.deepcopy(read(config))
    raw["http_options"] = (raw.get("http_options") or {}) | {"host": HOST}
    application = raw["applications"][0]
    application["args"] = _without(application.get("args"), left_out) | arguments
    for deployment in application["deployments"]:
        if deployment["name"] == "Ingress":
            deployment["user_config"] = _without(deployment.get("user_config"), left_out)
    path = folder / "serve_config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def _without(section: dict[str, Any] | None, left_out: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in (section or {}).items() if key not in left_out}
