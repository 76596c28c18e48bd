"""Kill random processes of the service (-9) during uploads: every acknowledged file is stored and indexed exactly once.

RAGSERVE_KILLS sets the number of kills. test_up.py kills the whole cluster, with Ray.
"""

import contextlib
import os
import random
import time
from collections.abc import Iterator

import openai
import psutil
import pytest

from serve.cli.chaos.processes import service_processes
from serve.cli.chaos.uploads import Uploads, files_by_word, text_of, wait_until_ingested
from serve.cli.remote import RemoteService
from tests.conftest import START_TIMEOUT_S, Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

NUM_KILLS = int(os.environ.get("RAGSERVE_KILLS", "2"))
MAX_PAUSE_S = 2.0


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="-", max_retries=0, timeout=PATIENCE_S) as client:
        yield client


def test_acknowledged_files_survive_the_kill_of_any_process(service: Service, client: openai.OpenAI) -> None:
    rng, store = random.Random(5), client.vector_stores.create(name="kills").id
    killed = []

    with Uploads(client, store) as uploads:
        for _ in range(NUM_KILLS):
            time.sleep(rng.uniform(0, MAX_PAUSE_S))
            victim = rng.choice(service_processes(os.getpid()))
            with contextlib.suppress(psutil.NoSuchProcess):
                killed.append(victim.name())
                victim.kill()
            wait_until_ready(service)

    assert len(killed) == NUM_KILLS
    assert len(uploads.acknowledged) > NUM_KILLS
    wait_until_ingested(client, store, START_TIMEOUT_S)
    for file_id, number in uploads.acknowledged.items():
        assert client.vector_stores.files.retrieve(file_id, vector_store_id=store).status == "completed"
        chunks = client.vector_stores.files.content(file_id, vector_store_id=store).data
        assert [chunk.text for chunk in chunks] == [text_of(number).strip()]
        assert files_by_word(client, store, f"harbour{number}") == [file_id]
        assert file_id in files_by_vector(client, store, text_of(number))


def files_by_vector(client: openai.OpenAI, store: str, text: str) -> set[str]:
    body = {"mode": "dense", "ranking_options": {"ranker": "none", "dedup": False}}
    hits = client.vector_stores.search(store, query=text, max_num_results=50, extra_body=body).data
    assert len({hit.file_id for hit in hits}) == len(hits)
    return {hit.file_id for hit in hits}


def wait_until_ready(service: Service) -> None:
    with RemoteService(service.url) as remote:
        remote.wait_until_ready(START_TIMEOUT_S)
