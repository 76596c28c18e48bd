"""kill -9 in the middle of ingestion, again and again: what was acknowledged is whole, and nothing is there twice."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import corpus_children
import pytest
from corpus_children import is_to_be_deleted, text_of
from corpus_samples import GENERATION, SCOPE, STORE, TENANT, Follower, complete, cut

from models.corpus.corpus import Corpus
from models.errors import NotFoundError
from models.types import Chunk

NUM_KILLS = 20
MAX_LIFE_S = 0.4  # of a child, from its first step on; a step takes 1 to 20 ms

pytestmark = pytest.mark.slow


@dataclass
class Acknowledged:
    """What the killed processes had said: file ids by number."""

    added: dict[int, str] = field(default_factory=dict)
    attached: dict[int, str] = field(default_factory=dict)
    completed: dict[int, str] = field(default_factory=dict)
    deleted: dict[int, str] = field(default_factory=dict)

    def note(self, output: str) -> None:
        # The last line may be cut short by the kill: then it was not said.
        for line in output[: output.rfind("\n") + 1].splitlines():
            event, number, file_id = line.split()
            getattr(self, event)[int(number)] = file_id

    def in_doubt(self) -> set[int]:
        """The last file, if its deletion may have been done and not yet said."""
        last = max(self.added, default=-1)
        return {last} - self.deleted.keys() if is_to_be_deleted(last) else set()

    def next_number(self) -> int:
        return min(self.in_doubt(), default=max(self.added, default=-1) + 1)

    def standing(self, files: dict[int, str]) -> dict[int, str]:
        """Those that must be there."""
        return {number: files[number] for number in files.keys() - self.deleted.keys() - self.in_doubt()}


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    url, blob_root = f"sqlite:///{tmp_path}/corpus.db", tmp_path / "blobs"
    chance, said, follower = random.Random(3), Acknowledged(), Follower()
    corpus = Corpus.open(url, blob_root)

    for _ in range(NUM_KILLS):
        said.note(_run_and_kill(url, blob_root, said.next_number(), chance.uniform(0, MAX_LIFE_S)))
        follower.catch_up(corpus, limit=50)
        _check_files(corpus, said)
        _check_chunks(corpus, said, follower)
    for job in corpus.jobs.claim("survivor", 100, 60.0):
        complete(corpus, job)

    statuses = {
        corpus.store_files.get(TENANT, STORE, file_id).status for file_id in said.standing(said.attached).values()
    }
    assert statuses == {"completed"}
    assert len(said.added) > NUM_KILLS
    follower.catch_up(corpus, limit=50)
    _check_chunks(corpus, said, follower)
    corpus.close()


def _run_and_kill(url: str, blob_root: Path, first: int, life_s: float) -> str:
    """What a child said between its first step and the SIGKILL."""
    command = [sys.executable, corpus_children.__file__, url, str(blob_root), str(first)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(life_s)
        child.kill()
        return child.stdout.read()


def _check_files(corpus: Corpus, said: Acknowledged) -> None:
    for number, file_id in said.standing(said.added).items():
        assert corpus.files.content(TENANT, file_id) == text_of(number).encode()
    for number, file_id in said.standing(said.attached).items():
        status = corpus.store_files.get(TENANT, STORE, file_id).status
        assert status == "completed" if number in said.completed else status in ("completed", "in_progress")
        if status == "completed":
            assert corpus.files.text(TENANT, file_id) == text_of(number)
    for file_id in said.deleted.values():
        with pytest.raises(NotFoundError):
            corpus.files.get(TENANT, file_id)


def _check_chunks(corpus: Corpus, said: Acknowledged, follower: Follower) -> None:
    """Every file has all of its chunks once or, while it waits, none; vectors and views have just the same keys."""
    keys = corpus.views.text_changes(TENANT, STORE, 0, 1_000_000).added_keys.tolist()
    vectors = corpus.views.vector_changes(TENANT, STORE, 0, GENERATION, 1_000_000)
    found: dict[str, list[Chunk]] = defaultdict(list)
    for _, passage in sorted(corpus.views.passages(keys, SCOPE).items()):
        found[passage.file_id].append(Chunk(passage.text, passage.start, passage.end, passage.context, 3))
    for number, file_id in said.standing(said.attached).items():
        is_completed = corpus.store_files.get(TENANT, STORE, file_id).status == "completed"
        assert found[file_id] == (cut(text_of(number)) if is_completed else [])
    assert not found.keys() & set(said.deleted.values())
    assert sorted(keys) == sorted(vectors.added_keys.tolist()) == sorted(follower.vectors)
