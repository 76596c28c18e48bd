"""The service that has the incidents: `ragserve up` with two tenants, prices, scored answers and a canary."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from deployments.cluster.environment import free_port
from models.corpus.api_keys import digest_of
from serve.cli.driver.servers import ragserve_up, running
from serve.config_file import read

ROOT = Path(__file__).parents[2]
TENANTS = ("acme", "globex")  # the name is the key
DOCUMENTS = {"acme": ("README.md", "docs"), "globex": ("README.md", "docs/api.md")}
PRICES = {"minilm": {"input": 10.0}, "extractive": {"input": 100.0, "output": 300.0}}
QUALITY = {
    "scoring": {"share": 1, "drift": {"reference": "incidents", "reference_size": 60, "window": 50}},
    "canary": {"every_s": 30},
}
BROKEN_MODEL = "broken-reranker"
BUDGETS = {"acme": 1_000_000}
INGEST_TIMEOUT_S = 300


@dataclass(frozen=True)
class Service:
    """`pid` is the process of `ragserve up`; `data` is the folder of its state."""

    url: str
    pid: int
    metrics_port: int
    data: Path
    config: Path

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.metrics_port}/metrics"


@contextmanager
def service(config: Path, folder: Path, threads: int, catalog: Mapping[str, Any]) -> Iterator[Service]:
    """It runs until the block ends, with the documents of both tenants, and the models of `catalog` beside ours."""
    path, metrics_port, data = _configured(config, folder, catalog), free_port(), folder / "data"
    launch = ragserve_up(path, data)
    launch = replace(launch, environment={**launch.environment, "RAGSERVE_METRICS_PORT": str(metrics_port)})
    with running(launch, folder, threads) as server:
        for tenant, paths in DOCUMENTS.items():
            _ingest(server.url, tenant, paths)
        yield Service(server.url, server.pid, metrics_port, data, path)


def _configured(config: Path, folder: Path, catalog: Mapping[str, Any]) -> Path:
    raw = copy.deepcopy(read(config))
    keys, own_models, path = folder / "keys.yaml", folder / "catalog.yaml", folder / "serve_config.yaml"
    keys.write_text(yaml.safe_dump({tenant: [digest_of(tenant)] for tenant in TENANTS}))
    broken = folder / BROKEN_MODEL  # without weights
    broken.mkdir(exist_ok=True)
    reranker = {"kind": "cross_encoder", "licence": "none", "options": {"source": str(broken.resolve())}}
    own_models.write_text(yaml.safe_dump({**catalog, "reranking": {BROKEN_MODEL: reranker}}))
    arguments = raw["applications"][0].setdefault("args", {})
    arguments["api"] = {"access": "keys", "keys_file": str(keys.resolve())}
    arguments["catalog"] = str(own_models.resolve())
    settings = user_config(raw, "Ingress")
    settings["quality"], settings["costs"] = QUALITY, {"prices": PRICES, "monthly_budgets": BUDGETS}
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def user_config(raw: dict[str, Any], deployment: str) -> dict[str, Any]:
    """Of the deployment in a deployment file; a change of it changes the file's content."""
    (entry,) = (each for each in raw["applications"][0]["deployments"] if each["name"] == deployment)
    settings: dict[str, Any] = entry["user_config"]
    return settings


def _ingest(url: str, tenant: str, paths: tuple[str, ...]) -> None:
    subprocess.run(
        [sys.executable, "-m", "serve.cli", "ingest", *paths, "--url", url],
        cwd=ROOT,
        env=os.environ | {"RAGSERVE_API_KEY": tenant},
        timeout=INGEST_TIMEOUT_S,
        check=True,
        capture_output=True,
    )
