"""Back up the running service, and restore into it while it answers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from rich.console import Console

from models.errors.requests import ConflictError
from serve.cli.backup.run import back_up, restore
from serve.cli.remote import RemoteService
from tests.conftest import Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

QUESTION = "When does the lighthouse keeper wind the clock?"
DUSK = "# Clock\n\nThe lighthouse keeper winds the clock at dusk.\n"
DAWN = "# Clock\n\nThe lighthouse keeper winds the clock at dawn, every day.\n"


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


@pytest.fixture
def config(service: Service, tmp_path: Path) -> Path:
    path = tmp_path / "serve_config.yaml"
    path.write_text(yaml.safe_dump(service.raw))
    return path


def ingest(service: Service, folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content)
    with RemoteService(service.url) as remote:
        file_id, result = remote.ingest(folder / name, name, "default")
    assert result.status == "completed"
    return file_id


def ask(http: httpx.Client) -> dict[str, Any]:
    """The response without its timings, which differ each time."""
    response = http.post("/v1/query", json={"query": QUESTION})
    assert response.status_code == 200
    body = response.json()
    passages = [(passage["chunk_id"], passage["file_id"], passage["text"]) for passage in body["passages"]]
    return {"answer": body["answer"], "citations": body["citations"], "passages": passages}


def test_a_restored_service_gives_the_same_answers(
    service: Service, http: httpx.Client, config: Path, tmp_path: Path
) -> None:
    console = Console(quiet=True)
    original = ingest(service, tmp_path, "clock.md", DUSK)
    before = ask(http)
    assert "at dusk" in before["answer"]

    back_up(config, None, tmp_path / "backup", None, console)
    added = ingest(service, tmp_path, "dawn.md", DAWN)
    http.delete(f"/v1/files/{original}").raise_for_status()
    assert "at dawn" in ask(http)["answer"]
    with pytest.raises(ConflictError, match="would be lost"):
        restore(config, None, tmp_path / "backup", False, console)
    with ThreadPoolExecutor(1) as pool:
        restoring = pool.submit(restore, config, None, tmp_path / "backup", True, console)
        while not restoring.done():
            ask(http)  # must succeed during the restore
        restoring.result()

    assert ask(http) == before
    assert http.get(f"/v1/files/{added}").status_code == 404
    assert http.get(f"/v1/files/{original}/content").text == DUSK
    ingest(service, tmp_path, "dawn.md", DAWN)
    assert "at dawn" in str(ask(http)["passages"])
