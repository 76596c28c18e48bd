"""A service on a copy of a prepared corpus, ready to answer from all of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.peers.environments import ServerStartError
from serve.cli.driver.servers import OURS, Launch, Server, running

QUERY_PATH = "/v1/query"
INDEX_TIMEOUT_S = 600.0  # to index 100,000 chunks takes some 20 s, on a busy machine minutes
ANSWER_TIMEOUT_S = 120.0
NUM_WHOLE = 3  # answers in a row that lack no stage
POLL_S = 1.0


@contextmanager
def serving(corpus: PreparedCorpus, launch: Launch, state: Path, folder: Path, threads: int) -> Iterator[Server]:
    """The service of `launch`, whose data folder `state` gets a copy of the corpus first. Raises ServerStartError."""
    corpus.copy_state(state)
    with running(launch, folder, threads) as server:
        wait_until_indexed(server, corpus.questions[-1].text)
        yield server


def wait_until_indexed(server: Server, question: str) -> None:
    """Returns once answers lack no stage: before that, a searcher is still reading the corpus."""
    end, num_whole = time.monotonic() + INDEX_TIMEOUT_S, 0
    with httpx.Client(base_url=server.url, trust_env=False, timeout=ANSWER_TIMEOUT_S) as client:
        while num_whole < NUM_WHOLE:
            response = client.post(QUERY_PATH, json={"query": question}, headers={"cache-control": "no-store"})
            is_whole = response.status_code == httpx.codes.OK and not response.json()["degraded"]
            num_whole = num_whole + 1 if is_whole else 0
            if time.monotonic() > end:
                raise ServerStartError(OURS, f"no whole answer within {INDEX_TIMEOUT_S:g} s: {response.text[:300]}")
            if not is_whole:
                time.sleep(POLL_S)
