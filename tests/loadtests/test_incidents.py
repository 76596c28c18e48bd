"""Incidents on purpose: the faults are real, and what watches them reads our own alerts and dashboards."""

import json
from pathlib import Path

import openai
import yaml

from loadtests.incidents.faults import losing_vectors, reconfigured
from loadtests.incidents.model_server import ALIAS, TEXT, USAGE, model_server
from loadtests.incidents.prometheus import MONITORING, legend, panel_expressions, rate_interval, scrape_interval
from loadtests.incidents.service import ROOT, Service, user_config
from loadtests.incidents.watch import wait_until_calm
from serve.quality.config import CanaryConfig
from serve.quality.document_canary import DocumentCanary
from tests.patience import PATIENCE_S
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


def test_the_slow_models_server_speaks_openais_api() -> None:
    with model_server() as model, openai.OpenAI(base_url=model.url, api_key="-") as client:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(
            client.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": "?"}], **options)
        )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[-1].usage.completion_tokens == USAGE["completion_tokens"]


def test_another_setting_is_taken_back(tmp_path: Path) -> None:
    config = tmp_path / "serve_config.yaml"
    config.write_text((ROOT / "serve_config.yaml").read_text())
    service = Service("", 0, 0, tmp_path, config)

    with reconfigured(service, "Reranker", model="other"):
        changed = user_config(yaml.safe_load(config.read_text()), "Reranker")["model"]

    assert changed == "other"
    assert config.read_text() == (ROOT / "serve_config.yaml").read_text()


def test_a_fault_waits_until_nothing_names_it() -> None:
    looks = iter([True, False])

    wait_until_calm({"alert": lambda: next(looks)}, limit_s=PATIENCE_S)

    assert list(looks) == []


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
