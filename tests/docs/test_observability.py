"""docs/observability.md has a line for each metric, and no other."""

import re

from prometheus_client import Counter, Gauge, Histogram

from deployments.telemetry import metrics
from tests.conftest import ROOT
from tests.submodules import submodules

ROW = re.compile(r"^\| `(ragserve_\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    documented = {name: (kind, labels) for name, kind, labels in ROW.findall(page)}

    defined = {}
    for metric in (each for module in submodules(metrics) for each in vars(module).values()):
        if isinstance(metric, Counter | Gauge | Histogram):
            family = next(iter(metric.describe()))
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            defined[family.name + ("_total" if family.type == "counter" else "")] = (family.type, labels)

    assert documented == defined
