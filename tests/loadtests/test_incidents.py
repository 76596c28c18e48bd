"""Incidents on purpose: the faults are real, and what watches them reads our own alerts and dashboards."""

import json
from pathlib import Path

from loadtests.incidents.faults import losing_vectors
from loadtests.incidents.prometheus import MONITORING, legend, panel_expressions, rate_interval, scrape_interval
from loadtests.incidents.service import Service
from serve.quality.config import CanaryConfig
from serve.quality.document_canary import DocumentCanary
from tests.serve.api.response_samples import serving


async def test_an_index_that_loses_its_vectors_fails_the_canary(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        canary = DocumentCanary(CanaryConfig(every_s=300, timeout_s=200), served.live.current.canary._parts)
        (tmp_path / "ragserve.db").symlink_to(tmp_path / "corpus.db")
        with losing_vectors(Service("", 0, 0, tmp_path, tmp_path)):
            await canary.check()
            broken = canary.last
        await canary.check()

    assert broken is not None
    assert broken.problem == "search: the dense search does not find a document that is completed"
    assert canary.last is not None
    assert canary.last.problem == ""


def test_panels_are_queried_as_grafana_does_with_the_monitors_interval() -> None:
    boards = [json.loads(path.read_text()) for path in (MONITORING / "dashboards").glob("*.json")]
    expressions = [pair[0] for board in boards for panel in board["panels"] for pair in panel_expressions(panel)]

    assert (scrape_interval(), rate_interval()) == ("15s", "60s")
    assert len(expressions) > 50
    assert not any("$" in expression for expression in expressions)


def test_a_line_is_named_by_its_labels() -> None:
    assert legend("{{stage}} retried", {"stage": "embed"}) == "embed retried"
    assert legend("__auto", {"stage": "embed"}) == "embed"
    assert legend("", {}) == "value"
