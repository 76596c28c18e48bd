"""Replicas that are killed at any step leave nothing wrong behind: the next one has every chunk, and sweeps."""

import multiprocessing
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from models.corpus.corpus import Corpus
from models.index import log_followers, token_index
from models.index.private_folder import PREFIX
from models.index.token_codec import encode_tokens, max_sim_scores
from models.index.token_search import TokenScoreRequest, TokenSearch
from models.types.arrays import FloatArray
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope

FORK = multiprocessing.get_context("fork")
TENANT, STORE, GENERATION, DIM = DEFAULT_TENANT, DEFAULT_VECTOR_STORE, "tiny@1", 16
NUM_KILLS, CHUNKS_PER_FILE, TIMEOUT_S = 8, 6, 60
QUERY, WEIGHTS = np.eye(DIM, dtype=np.float16)[:2], np.ones(2, np.float32)


@pytest.fixture(autouse=True)
def _many_snapshots_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_followers, "SNAPSHOT_MIN_CHANGES", 1)
    monkeypatch.setattr(log_followers, "SNAPSHOT_CHANGED_FRACTION", 0.0)
    monkeypatch.setattr(token_index, "SEGMENT_BYTES", 500)


def opened(folder: Path) -> Corpus:
    return Corpus.open(f"sqlite:///{folder}/corpus.db", folder / "files")


def add(corpus: Corpus, number: int) -> str:
    file_id = corpus.files.add(TENANT, f"{number}.md", str(number).encode()).file_id
    corpus.store_files.attach(TENANT, STORE, file_id)
    (job,) = corpus.jobs.claim("test", 1, 60)
    chunks = [Chunk("text", place, place + 4, "", 1) for place in range(CHUNKS_PER_FILE)]
    vectors: FloatArray = np.ones((CHUNKS_PER_FILE, 4), np.float32)
    codes = [code_of(number * CHUNKS_PER_FILE + place) for place in range(1, CHUNKS_PER_FILE + 1)]
    corpus.jobs.complete(job, "text", chunks, {GENERATION: vectors}, {GENERATION: codes})
    return file_id


def code_of(key: int) -> bytes:
    rows = np.random.default_rng(key).standard_normal((5, DIM)).astype(np.float32)
    return encode_tokens((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16))


def follow(folder: Path, steps: Connection) -> None:
    """Follow the log as a replica does, and report each step. Runs until it is killed."""
    search = TokenSearch(opened(folder).views, folder / "tokens")
    while True:
        steps.send(search.maintain())


def follow_and_be_killed(folder: Path, num_steps: int) -> None:
    """Kill a replica after it has reported `num_steps` steps, wherever it is then."""
    received, sent = FORK.Pipe(duplex=False)
    child = FORK.Process(target=follow, args=(folder, sent), daemon=True)
    child.start()
    try:
        for _ in range(num_steps):
            assert received.poll(TIMEOUT_S)
            received.recv()
    finally:
        child.kill()
        child.join(TIMEOUT_S)
    assert child.exitcode == -signal.SIGKILL


def test_after_any_kill_the_next_replica_has_every_chunk_and_sweeps(tmp_path: Path) -> None:
    corpus, file_ids = opened(tmp_path), list[str]()
    for number in range(NUM_KILLS):
        file_ids.append(add(corpus, number))
        if number % 3 == 2:
            corpus.files.delete(TENANT, file_ids[number - 1])
        follow_and_be_killed(tmp_path, num_steps=1 + number // 2)

    search = TokenSearch(corpus.views, tmp_path / "tokens")
    while search.maintain():
        pass

    keys = np.arange(1, NUM_KILLS * CHUNKS_PER_FILE + 1)
    (scores,) = search.score([TokenScoreRequest(QUERY, WEIGHTS, keys, GENERATION, Scope(TENANT, (STORE,)))])
    existing = np.array(sorted(corpus.views.passages(keys, Scope(TENANT, (STORE,)))))
    expected = max_sim_scores(QUERY, WEIGHTS, [code_of(key) for key in existing.tolist()])
    assert np.flatnonzero(~np.isnan(scores)).tolist() == (existing - 1).tolist()
    np.testing.assert_allclose(scores[existing - 1], expected, atol=1e-6)
    assert len(list((tmp_path / "tokens").glob(f"{PREFIX}*"))) == 1
    corpus.close()
