"""Repeated kill -9 during ingestion: acknowledged changes are complete, and nothing is stored twice."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import corpus_children
import pytest
from corpus_children import (
    NEW_LABEL,
    OLD_LABEL,
    is_to_be_deleted,
    is_to_be_labelled,
    is_to_be_replaced,
    next_text_of,
    text_of,
)
from corpus_samples import GENERATION, SCOPE, STORE, TENANT, Follower, complete, cut

from models.corpus.corpus import Corpus
from models.errors.requests import NotFoundError
from models.types.chunks import Chunk

NUM_KILLS = int(os.environ.get("RAGSERVE_KILLS", "12"))
MAX_LIFE_S = 0.3  # of a child, after its first step; a step takes 1 to 20 ms

pytestmark = pytest.mark.slow


@dataclass
class Acknowledged:
    """The changes that killed processes acknowledged: file ids by number, and versions of completed files.

    `in_doubt` has the files that the processes were working on: their next change may be done but not acknowledged.
    """

    added: dict[int, str] = field(default_factory=dict)
    attached: dict[int, str] = field(default_factory=dict)
    replaced: dict[int, str] = field(default_factory=dict)
    labelled: dict[int, str] = field(default_factory=dict)
    deleted: dict[int, str] = field(default_factory=dict)
    completed: dict[int, int] = field(default_factory=dict)
    in_doubt: set[int] = field(default_factory=set)

    def note(self, output: str) -> None:
        # The kill may cut the last line short: then the change is not acknowledged.
        for line in output[: output.rfind("\n") + 1].splitlines():
            event, number, file_id, *version = line.split()
            if event == "completed":
                self.completed[int(number)] = int(version[0])
            else:
                getattr(self, event)[int(number)] = file_id
        self.in_doubt.add(self.next_number() - 1)

    def has_each_change(self) -> bool:
        """On a busy machine, a child may do less than a step in its life."""
        return bool(self.deleted and self.replaced and self.labelled) and len(self.added) > NUM_KILLS

    def next_number(self) -> int:
        return max(self.added, default=-1) + 1

    def existing(self, files: dict[int, str]) -> dict[int, str]:
        """Return the files that must exist."""
        perhaps_deleted = set(filter(is_to_be_deleted, self.in_doubt))
        return {number: files[number] for number in files.keys() - self.deleted.keys() - perhaps_deleted}

    def versions(self, number: int) -> set[int]:
        """Return the possible versions of the file."""
        if number in self.replaced:
            return {2}
        return {1, 2} if number in self.in_doubt and is_to_be_replaced(number) else {1}

    def labels(self, number: int) -> list[dict[str, str]]:
        if number in self.labelled:
            return [NEW_LABEL]
        return [OLD_LABEL, NEW_LABEL] if number in self.in_doubt and is_to_be_labelled(number) else [OLD_LABEL]


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    url, blob_root = f"sqlite:///{tmp_path}/corpus.db", tmp_path / "blobs"
    random_source, acknowledged, follower = random.Random(3), Acknowledged(), Follower()
    corpus = Corpus.open(url, blob_root)

    num_kills = 0
    while num_kills < NUM_KILLS or not acknowledged.has_each_change():
        num_kills += 1
        acknowledged.note(
            _run_and_kill(url, blob_root, acknowledged.next_number(), random_source.uniform(0, MAX_LIFE_S))
        )
        follower.catch_up(corpus, limit=50)
        _attach_failed_again(corpus, acknowledged)
        _check_files(corpus, acknowledged)
        _check_chunks(corpus, acknowledged, follower)
    for _ in range(2):  # the first claim fails the files whose last attempt was killed
        for job in corpus.jobs.claim("survivor", 100, 60.0):
            complete(corpus, job)
        _attach_failed_again(corpus, acknowledged)

    for number, file_id in acknowledged.existing(acknowledged.attached).items():
        store_file = corpus.store_files.get(TENANT, STORE, file_id)
        assert (store_file.status, {store_file.version} <= acknowledged.versions(number)) == ("completed", True)
    follower.catch_up(corpus, limit=50)
    _check_chunks(corpus, acknowledged, follower)
    corpus.close()


def _run_and_kill(url: str, blob_root: Path, first: int, life_s: float) -> str:
    """Return what a child printed between its first step and the SIGKILL."""
    command = [sys.executable, corpus_children.__file__, url, str(blob_root), str(first)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(life_s)
        child.kill()
        return child.stdout.read()


def _content(number: int, version: int) -> str:
    return "" if version == 0 else text_of(number) if version == 1 else next_text_of(number)


def _attach_failed_again(corpus: Corpus, acknowledged: Acknowledged) -> None:
    """On a busy machine, MAX_ATTEMPTS workers may be killed over one file. It then fails, and its owner may retry."""
    for file_id in acknowledged.existing(acknowledged.attached).values():
        if corpus.store_files.get(TENANT, STORE, file_id).status == "failed":
            corpus.store_files.attach(TENANT, STORE, file_id)


def _check_files(corpus: Corpus, acknowledged: Acknowledged) -> None:
    for number, file_id in acknowledged.existing(acknowledged.added).items():
        version = corpus.files.get(TENANT, file_id).version
        assert version in acknowledged.versions(number)
        assert corpus.files.content(TENANT, file_id) == _content(number, version).encode()
    for number, file_id in acknowledged.existing(acknowledged.attached).items():
        file, store_file = corpus.files.get(TENANT, file_id), corpus.store_files.get(TENANT, STORE, file_id)
        # It is in progress exactly as long as its newest version is not searched.
        assert (store_file.status == "completed") == (store_file.version == file.version)
        assert store_file.status in ("completed", "in_progress")
        assert store_file.version >= acknowledged.completed.get(number, 0)
        assert store_file.attributes in acknowledged.labels(number)
        if store_file.version:
            assert corpus.files.text(TENANT, file_id) == _content(number, store_file.version)
    for file_id in acknowledged.deleted.values():
        with pytest.raises(NotFoundError):
            corpus.files.get(TENANT, file_id)


def _check_chunks(corpus: Corpus, acknowledged: Acknowledged, follower: Follower) -> None:
    """Every file has the chunks of one version once, or none yet. Vectors and views have exactly these chunks."""
    keys = corpus.views.text_changes(TENANT, STORE, 0, 1_000_000).added_keys.tolist()
    vectors = corpus.views.vector_changes(TENANT, STORE, 0, GENERATION, 1_000_000)
    passages = corpus.views.passages(keys, SCOPE)
    chunks_by_file: dict[str, list[Chunk]] = defaultdict(list)
    for _, passage in sorted(passages.items()):
        chunks_by_file[passage.file_id].append(Chunk(passage.text, passage.start, passage.end, passage.context, 3))
    for number, file_id in acknowledged.existing(acknowledged.attached).items():
        version = corpus.store_files.get(TENANT, STORE, file_id).version
        assert chunks_by_file[file_id] == cut(_content(number, version))
    assert not chunks_by_file.keys() & set(acknowledged.deleted.values())
    assert sorted(keys) == sorted(vectors.added_keys.tolist()) == sorted(follower.vectors)
    assert follower.labels_of_chunks() == {key: passage.attributes for key, passage in passages.items()}
