"""A short load test against the running service, as `make load` runs it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve.cli.remote import RemoteService
from tests.conftest import ROOT, Service

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def run_locust(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Locust in its own process, because it patches the sockets of the process that imports it."""
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--host", url]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def test_every_kind_of_user_stays_within_its_budget(service: Service, tmp_path: Path) -> None:
    with RemoteService(service.url) as remote:
        remote.ingest(ROOT / "README.md", "README.md", "default")
    names = ("query", "search", "embeddings", "rerank", "chat", "ingest")
    budgets = tmp_path / "budgets.yaml"
    limits = "".join(f"  {name}: {{p99_s: 120, max_error_ratio: 0}}\n" for name in names)
    budgets.write_text(f"endpoints:\n{limits}stages:\n  retrieval: {{p99_s: 120}}\n")

    arguments = ("--shape", "soak", "--peak", "14", "--duration", "30", "--budgets", str(budgets))
    completed = run_locust(service.url, *arguments, "--report", str(tmp_path / "report"))

    assert completed.returncode == 0, completed.stderr[-3000:]
    with (tmp_path / "report" / "endpoints.csv").open() as rows:
        counts = {row["name"]: int(row["count"]) - int(row["errors"]) for row in csv.DictReader(rows)}
    assert all(counts.get(name, 0) > 0 for name in names), counts
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Every budget that was measured is met" in page
    assert "Not measured" not in page


def test_an_exceeded_budget_fails_the_run(service: Service, tmp_path: Path) -> None:
    budgets = tmp_path / "budgets.yaml"
    budgets.write_text("endpoints: {search: {p50_s: 0.000001}, chat: {p95_s: 1}}")

    arguments = ("SearchUser", "--shape", "soak", "--peak", "1", "--duration", "5", "--budgets", str(budgets))
    completed = run_locust(service.url, *arguments, "--report", str(tmp_path / "report"))

    assert completed.returncode == 1
    assert "search: p50" in completed.stderr
    assert "Not measured: chat" in completed.stderr


def test_another_machine_needs_allow_remote(tmp_path: Path) -> None:
    completed = run_locust("http://192.0.2.1:8000", "--duration", "5", "--report", str(tmp_path / "report"))

    assert completed.returncode == 2
    assert "--allow-remote" in completed.stderr
