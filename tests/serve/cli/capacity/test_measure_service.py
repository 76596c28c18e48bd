"""The CPU time of a query in each process of the running service."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from serve.cli.capacity.measure_service import LoadedService, service_times, with_own_storage
from serve.cli.capacity.profile import STAGES
from serve.cli.capacity.texts import Texts
from serve.cli.driver.servers import Server
from serve.cli.remote import RemoteService
from serve.config_file import settings_of
from tests.conftest import Service
from tests.patience import PATIENCE_S


def test_a_measurement_uses_no_existing_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSERVE_DATABASE_URL", "postgresql+psycopg://user@database/ragserve")
    storage = {"data_dir": "/srv/ragserve", "milvus": {"uri": "http://milvus:19530"}}
    raw = {"applications": [{"args": {"storage": storage, "api": {"keys_file": "keys.yaml", "embed_s": 5}}}]}

    isolated = with_own_storage(raw, tmp_path)

    settings = settings_of(isolated)
    assert settings.storage.url == f"sqlite:///{tmp_path}/ragserve.db"
    assert (settings.storage.data_dir, settings.storage.milvus) == (tmp_path, None)
    assert (settings.api.keys_file, settings.api.embed_s) == (None, 5)
    assert raw["applications"][0]["args"]["storage"] is storage


@pytest.mark.ray
@pytest.mark.slow
def test_the_cpu_time_of_a_query_is_measured_in_each_process(service: Service, tmp_path: Path) -> None:
    texts, bodies = Texts(), tmp_path / "bodies.jsonl"
    document = tmp_path / "document.txt"
    document.write_text("\n\n".join(texts.passages(5)))
    questions = tuple(texts.questions(8))
    bodies.write_text("".join(json.dumps({"query": question, "mode": "hybrid"}) + "\n" for question in questions))
    with RemoteService(service.url) as remote:
        file_id, result = remote.ingest(document, "document.txt", "default")
    assert result.status == "completed"

    port = urlsplit(service.url).port or 0
    times = service_times(LoadedService(Server("ragserve", port, 0), bodies, questions, frozenset()), 1.0, 2.0)

    assert set(times.cpu_s) == set(STAGES)
    assert all(times.cpu_s[stage] > 0 for stage in ("ingress", "embed", "dense"))
    assert {"embed", "dense", "lexical", "rerank", "generate"} <= set(times.call_s)
    assert all(seconds > 0 for seconds in times.call_s.values())
    assert 0 < times.idle_cpus < 16
    assert httpx.delete(f"{service.url}/v1/files/{file_id}", timeout=PATIENCE_S, trust_env=False).is_success
