"""Alerts, dashboards and runbooks: the metrics and pages that they name exist, and alerts fire when they should."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from deployments.telemetry import metrics
from serve.cli.main import app
from tests.kuberay.conftest import KUBERAY, ROOT, kustomize
from tests.submodules import submodules

MONITORING, RUNBOOKS = KUBERAY / "monitoring", ROOT / "docs" / "runbooks"
RULES_TESTS = sorted(MONITORING.glob("rules_test*.yaml"))
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
CHECKER = ROOT.parent / "shared" / "tools" / "check_dashboard.py"
UNITS = {"h", "m"}  # the checker takes the unit of a duration after `offset` for a metric
PARTS = ["What you see", "What to check", "What to do"]


def spec() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    return dict(parsed["spec"])


def alerts() -> list[dict[str, Any]]:
    return [rule for group in spec()["groups"] for rule in group["rules"]]


def dashboard_expressions() -> Iterator[str]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            yield from (target["expr"] for target in panel.get("targets", ()))


def labels_of_series() -> dict[str, set[str]]:
    """By every name that a scrape shows: our labels, those of a bucket, and Prometheus' own."""
    labels_by_name = {}
    for metric in (each for module in submodules(metrics) for each in vars(module).values()):
        if isinstance(metric, Counter | Gauge | Histogram):
            family = next(iter(metric.describe()))
            endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[family.type]
            for ending in endings:
                own = {"le"} if ending == "_bucket" else set()
                labels_by_name[family.name + ending] = {*metric._labelnames, "instance", *own}
    return labels_by_name


def exposed_names() -> set[str]:
    return set(labels_of_series())


def read_series(text: str) -> tuple[str, set[str]]:
    """The name of a series, and the names of its labels."""
    return text.partition("{")[0], set(re.findall(r"(\w+)=", text))


@pytest.fixture(scope="module")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed; Debian's package prometheus has it")
    return path


def test_alerts_dashboards_and_runbooks_name_metrics_that_there_are() -> None:
    texts = [*(rule["expr"] for rule in alerts()), *dashboard_expressions()]
    texts += [path.read_text() for path in RUNBOOKS.glob("*.md")]

    named = {name for text in texts for name in re.findall(r"\bragserve_[a-z_]+\b", text)}

    assert len(named) > 50
    assert named <= exposed_names()


def test_every_alert_has_a_runbook_with_its_three_parts() -> None:
    table = dict(re.findall(r"\| \[.*?\]\((.*?)\) \| (.*?) \|", (RUNBOOKS / "README.md").read_text()))
    listed = {page: set(re.findall(r"`(\w+)`", names)) for page, names in table.items()}

    by_page: dict[str, set[str]] = {}
    for rule in alerts():
        by_page.setdefault(rule["annotations"]["runbook"].removeprefix("docs/runbooks/"), set()).add(rule["alert"])
        assert rule["labels"]["severity"] in ("info", "warning", "critical")

    assert by_page == listed
    for page in by_page:
        assert re.findall(r"^## (.*)$", (RUNBOOKS / page).read_text(), re.MULTILINE) == PARTS, page


def test_every_command_of_the_runbooks_exists() -> None:
    commands = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    names = {name.replace("_", "-") for name in commands} | {group.name for group in app.registered_groups}
    pages = "\n".join(path.read_text() for path in RUNBOOKS.glob("*.md"))

    assert set(re.findall(r"(?:\$ |`)ragserve ([a-z-]+)", pages)) <= names


def test_every_resource_of_the_runbooks_exists() -> None:
    pages = "\n".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    resources = [
        f"{each['kind'].lower()}/{each['metadata']['name']}"
        for path in (KUBERAY / "base").glob("*.yaml")
        for each in yaml.safe_load_all(path.read_text())
        if "metadata" in each
    ]

    named = set(re.findall(r"kubectl [^`\n]*?\b(?:logs|get|edit|describe) ([a-z]+/[a-z-]+|pvc [a-z-]+)", pages))

    assert {name.replace("pvc ", "persistentvolumeclaim/") for name in named} <= set(resources)
    assert named == {"statefulset/ragserve-redis", "pvc ragserve-data"}


def test_ids_and_titles_of_dashboards_are_distinct() -> None:
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]

    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == 4
    for board in boards:
        titles = [panel["title"] for panel in board["panels"]]
        assert len(set(titles)) == len(titles)


def test_every_alert_is_seen_firing_over_series_that_a_scrape_shows() -> None:
    groups = [group for path in RULES_TESTS for group in yaml.safe_load(path.read_text())["tests"]]
    fired = {each["alertname"] for group in groups for each in group["alert_rule_test"] if each.get("exp_alerts")}
    series = {each["series"] for group in groups for each in group["input_series"]}
    labels_by_name = labels_of_series()

    assert fired == {rule["alert"] for rule in alerts()}
    for name, labels in map(read_series, series):
        if not name.startswith("kubelet_"):
            assert labels <= labels_by_name[name], name


def test_the_rules_fire_when_they_should(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "rules-plain.yaml").write_text(yaml.safe_dump(spec()))
    for path in RULES_TESTS:
        shutil.copy(path, tmp_path)

    tested = subprocess.run(
        [promtool, "test", "rules", *(path.name for path in RULES_TESTS)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_panel_passes_the_checker(promtool: str) -> None:
    if not CHECKER.exists():
        pytest.skip(f"no dashboard checker at {CHECKER}")
    loaded = importlib.util.spec_from_file_location("check_dashboard", CHECKER)
    assert loaded is not None
    assert loaded.loader is not None
    checker = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(checker)

    names = exposed_names() | {"ALERTS"} | UNITS
    problems = {path.name: checker.check(path, names, promtool)[1] for path in DASHBOARDS}
    assert problems == {path.name: [] for path in DASHBOARDS}


def test_the_folder_builds(problems: Callable[..., list[str]]) -> None:
    manifests = kustomize(MONITORING)

    assert problems(manifests) == []
    config_map = next(each for each in yaml.safe_load_all(manifests) if each["kind"] == "ConfigMap")
    assert config_map["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert set(config_map["data"]) == {path.name for path in DASHBOARDS}
