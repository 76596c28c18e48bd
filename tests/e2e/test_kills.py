"""Kill random processes of the service (-9) during uploads: every acknowledged file is stored and indexed exactly once.

RAGSERVE_KILLS sets the number of kills. test_up.py kills the whole cluster, with Ray.
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator

import openai
import psutil
import pytest

from serve.cli.remote import RemoteService
from tests.conftest import START_TIMEOUT_S, Service

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_KILLS = int(os.environ.get("RAGSERVE_KILLS", "2"))
MAX_PAUSE_S = 2.0
NAMES = ("ray::ServeReplica", "ray::ServeController", "ray::ProxyActor", "ray::HAProxyManager", "haproxy")


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="-", max_retries=0, timeout=30) as client:
        yield client


def victims() -> list[psutil.Process]:
    """The processes of the service: replicas, controller, proxies. All are descendants of this process."""
    processes = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline()) or process.name()
            if title.startswith(NAMES) or process.name().startswith("haproxy"):
                processes.append(process)
    return processes


def text_of(number: int) -> str:
    return f"Harbour{number} lies beside lighthouse{number}, and ferry{number} calls there.\n"


class Uploads:
    """Upload files one after another, and record those that the service acknowledged."""

    def __init__(self, client: openai.OpenAI, store: str) -> None:
        self._client, self._store = client, store
        self._stop = threading.Event()
        self.acknowledged: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Uploads":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            with contextlib.suppress(openai.OpenAIError):
                file = self._client.files.create(file=(f"{number}.md", text_of(number).encode()), purpose="assistants")
                self._client.vector_stores.files.create(self._store, file_id=file.id)
                self.acknowledged[file.id] = number
            number += 1
            self._stop.wait(0.02)


def test_acknowledged_files_survive_the_kill_of_any_process(service: Service, client: openai.OpenAI) -> None:
    rng, store = random.Random(5), client.vector_stores.create(name="kills").id
    killed = []

    with Uploads(client, store) as uploads:
        for _ in range(NUM_KILLS):
            time.sleep(rng.uniform(0, MAX_PAUSE_S))
            victim = rng.choice(victims())
            with contextlib.suppress(psutil.NoSuchProcess):
                killed.append(victim.name())
                victim.kill()
            wait_until_ready(service)

    assert len(killed) == NUM_KILLS
    assert len(uploads.acknowledged) > NUM_KILLS
    wait_until_ingested(client, store)
    for file_id, number in uploads.acknowledged.items():
        assert client.vector_stores.files.retrieve(file_id, vector_store_id=store).status == "completed"
        chunks = client.vector_stores.files.content(file_id, vector_store_id=store).data
        assert [chunk.text for chunk in chunks] == [text_of(number).strip()]
        assert files_by_word(client, store, f"harbour{number}") == [file_id]
        assert file_id in files_by_vector(client, store, text_of(number))


def files_by_word(client: openai.OpenAI, store: str, word: str) -> list[str]:
    """The file of each hit. A chunk that was stored twice appears twice."""
    body = {"mode": "lexical", "ranking_options": {"ranker": "none", "dedup": False}}
    return [hit.file_id for hit in client.vector_stores.search(store, query=word, extra_body=body).data]


def files_by_vector(client: openai.OpenAI, store: str, text: str) -> set[str]:
    body = {"mode": "dense", "ranking_options": {"ranker": "none", "dedup": False}}
    hits = client.vector_stores.search(store, query=text, max_num_results=50, extra_body=body).data
    assert len({hit.file_id for hit in hits}) == len(hits)
    return {hit.file_id for hit in hits}


def wait_until_ready(service: Service) -> None:
    with RemoteService(service.url) as remote:
        remote.wait_until_ready(START_TIMEOUT_S)


def wait_until_ingested(client: openai.OpenAI, store: str) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while client.vector_stores.retrieve(store).file_counts.in_progress:
        assert time.monotonic() < end
        time.sleep(0.2)
