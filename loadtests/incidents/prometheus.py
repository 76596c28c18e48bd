"""A Prometheus on the loopback address, with the alerts of kuberay/monitoring and the interval of its monitor."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.cluster.environment import free_port
from models.errors.configuration import ConfigError
from serve.cli.driver.servers import HOST

MONITORING = Path(__file__).parents[2] / "kuberay" / "monitoring"
OVERVIEW = MONITORING / "dashboards" / "overview.json"
SLOWEST_STAGES = "The slowest stages, p95"  # the panel that names a bottleneck
START_TIMEOUT_S, STOP_TIMEOUT_S, POLL_S = 30.0, 20.0, 0.2
RATE_INTERVAL_SCRAPES = 4  # as Grafana's $__rate_interval


def scrape_interval() -> str:
    """The interval of ragserve's PodMonitor, such as 15s."""
    monitors = yaml.safe_load_all((MONITORING / "monitors.yaml").read_text())
    endpoints = [endpoint for monitor in monitors for endpoint in monitor["spec"]["podMetricsEndpoints"]]
    return str(next(endpoint["interval"] for endpoint in endpoints if endpoint["port"] == "ragserve"))


def rate_interval() -> str:
    """What Grafana puts in place of $__rate_interval on a short time range."""
    return f"{RATE_INTERVAL_SCRAPES * int(scrape_interval().removesuffix('s'))}s"


def panel_expressions(panel: dict[str, Any]) -> list[tuple[str, str]]:
    """The expression and the legend of each target, as Grafana sends it."""
    targets = panel.get("targets", ())
    return [
        (target["expr"].replace("$__rate_interval", rate_interval()), target.get("legendFormat", ""))
        for target in targets
    ]


@dataclass(frozen=True)
class Prometheus:
    url: str

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The labels and the value of each series now."""
        series = self._get("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in series]

    def query_range(self, expression: str, start: float, end: float, step_s: float) -> list[dict[str, Any]]:
        """`metric` and `values` (pairs of Unix time and text) of each series."""
        times = {"start": str(start), "end": str(end), "step": str(step_s)}
        return list(self._get("query_range", query=expression, **times)["result"])

    def firing(self) -> list[dict[str, str]]:
        """The labels of each alert that fires."""
        alerts = self._get("alerts")["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    def slowest_stage(self) -> tuple[str, float]:
        """The highest line of the dashboard's panel for it, and its p95 in seconds; empty and 0 without data."""
        panels = json.loads(OVERVIEW.read_text())["panels"]
        (panel,) = (panel for panel in panels if panel["title"] == SLOWEST_STAGES)
        values = [(labels["stage"], seconds) for labels, seconds in self.query(panel_expressions(panel)[0][0])]
        return max(values, key=lambda pair: pair[1], default=("", 0.0))

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        response = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)
        return dict(response.raise_for_status().json()["data"])


@contextmanager
def prometheus(folder: Path, metrics_port: int) -> Iterator[Prometheus]:
    """It scrapes the port and evaluates our rules until the block ends. Raises ConfigError if it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        raise ConfigError("prometheus", "is not installed; Debian's package is called prometheus")
    port = free_port()
    flags = [f"--config.file={_configured(folder, metrics_port)}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *flags, f"--web.listen-address={HOST}:{port}"], stdout=log, stderr=log)
    try:
        server = Prometheus(f"http://{HOST}:{port}")
        _wait_until_ready(server.url)
        yield server
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def _configured(folder: Path, metrics_port: int) -> Path:
    rules, path = folder / "rules.yml", folder / "prometheus.yml"
    rules.write_text(yaml.safe_dump(yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]))
    targets = [{"targets": [f"{HOST}:{metrics_port}"]}]
    config = {
        "global": {"scrape_interval": scrape_interval(), "evaluation_interval": scrape_interval()},
        "rule_files": [str(rules.resolve())],
        "scrape_configs": [{"job_name": "ragserve", "static_configs": targets}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def _wait_until_ready(url: str) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass  # it does not listen yet
        time.sleep(POLL_S)
    raise ConfigError("prometheus", f"is not ready after {START_TIMEOUT_S:g} s")


def legend(template: str, labels: dict[str, str]) -> str:
    """A line's name: the template with its labels."""
    if template in ("", "__auto"):
        return ", ".join(labels.values()) or "value"
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), template)
