"""Change the embedding model and change it back, under load: no request fails and no file is lost."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.conftest import START_TIMEOUT_S, Service
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NUM_FILES = 40  # before the first change
WORDS = ("walrus", "island", "clam", "whisker", "floe", "tusk", "dive", "herd")


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="-", max_retries=0, timeout=PATIENCE_S) as client:
        yield client


class Load:
    """Search and ingest until stopped. Records every failure, and every search that misses its file."""

    def __init__(self, client: openai.OpenAI, store: str) -> None:
        self._client, self._store = client, store
        self._stop = threading.Event()
        self.names: list[str] = []
        self.problems: list[str] = []
        self.num_searches = 0

    def add(self) -> None:
        number = len(self.names)
        text = " ".join(f"{word}{number}" for word in WORDS).encode()
        file = self._client.vector_stores.files.upload_and_poll(
            vector_store_id=self._store, file=(f"{number}.md", text), poll_interval_ms=50
        )
        if file.status != "completed":
            self.problems.append(f"file {number}: {file.status} {file.last_error}")
        self.names.append(f"{number}.md")

    def search(self, number: int) -> None:
        query = " ".join(f"{word}{number}" for word in WORDS)
        # Dense search only: keyword search would hide a vector of the wrong model.
        page = self._client.vector_stores.search(
            self._store,
            query=query,
            max_num_results=5,
            extra_body={"mode": "dense", "ranking_options": {"ranker": "none"}},
        )
        self.num_searches += 1
        if f"{number}.md" not in [hit.filename for hit in page.data]:
            self.problems.append(f"search {number}: {[hit.filename for hit in page.data]}")

    def repeat(self, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                work()
            except openai.OpenAIError as error:
                self.problems.append(repr(error))

    def search_next(self) -> None:
        self.search(self.num_searches % len(self.names))

    def stop(self) -> None:
        self._stop.set()


def wait_until_searched_with(client: openai.OpenAI, store: str, model: str) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    for _ in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
        index = client.vector_stores.retrieve(store).model_extra["index"]  # type: ignore[index]
        if index["generation"].startswith(f"{model}@"):
            return
        time.sleep(0.2)
    raise AssertionError(f"not searched with {model} after {START_TIMEOUT_S:g} s: {index}")


def test_changing_the_embedding_model_twice_loses_nothing(changing: Service, client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="migrating").id
    load = Load(client, store)
    for _ in range(NUM_FILES):
        load.add()
    embedder = changing.deployment("Embedder")["user_config"]
    before = embedder["model"]

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(load.repeat, step) for step in (load.search_next, load.search_next, load.add)]
        try:
            for model in ("hashing-256", before):
                embedder["model"] = model
                changing.apply()
                wait_until_searched_with(client, store, model)
        finally:
            load.stop()
        for future in running:
            future.result()

    assert load.problems == []
    assert load.num_searches > NUM_FILES
    assert len(load.names) > NUM_FILES
    for number in range(len(load.names)):
        load.search(number)
    assert load.problems == []
